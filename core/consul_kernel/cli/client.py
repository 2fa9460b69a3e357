"""Requests to an agent over HTTP, with Consul's environment variables and flags."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from .flags import Arguments, Flag, FlagError, FlagType

DEFAULT_ADDRESS = "127.0.0.1:8500"
_DEFAULT_TIMEOUT_S = 60
_LONGEST_TIMEOUT_S = 86_400
_PIECE_BYTES = 256 * 1024
_ADDRESS_VARIABLE = "CONSUL_HTTP_ADDR"
_TOKEN_VARIABLE = "CONSUL_HTTP_TOKEN"
_TOKEN_FILE_VARIABLE = "CONSUL_HTTP_TOKEN_FILE"

CLIENT_FLAGS = (
    Flag(
        "http-addr",
        FlagType.TEXT,
        f"Address of the agent: host:port, http://…, https://… or unix:///path. Also {_ADDRESS_VARIABLE}. "
        f"The default is {DEFAULT_ADDRESS}.",
    ),
    Flag("token", FlagType.TEXT, f"ACL token to send. Also {_TOKEN_VARIABLE}."),
    Flag("token-file", FlagType.TEXT, f"File with the ACL token to send. Also {_TOKEN_FILE_VARIABLE}."),
    Flag("ca-file", FlagType.TEXT, "Certificates to trust with https, in PEM form. Also CONSUL_CACERT."),
    Flag("timeout", FlagType.INT, "Seconds to wait for the agent.", default=_DEFAULT_TIMEOUT_S),
)
SERVER_FLAGS = (
    Flag("datacenter", FlagType.TEXT, "Datacenter to ask; the agent's own unless given."),
    Flag("stale", FlagType.BOOL, "Let any server answer rather than the leader: faster, perhaps a little old."),
)


class AgentError(Exception):
    """The agent cannot be reached or refused; the text says which."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX domain socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("127.0.0.1", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that the agent gave on purpose: its status and body, and the index of a read (0 when it has none)."""

    status: int
    body: bytes
    index: int = 0

    def json(self) -> Any:
        """The body as JSON. Raises AgentError for anything else."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AgentError(f"The agent answered something that is not JSON: {error}") from error


class LongAnswer:
    """The body of a GET that goes on for as long as the agent has something to say. Opened and read once."""

    def __init__(
        self,
        client: AgentClient,
        connection: http.client.HTTPConnection,
        path: str,
        target: str,
        headers: Mapping[str, str],
    ) -> None:
        self._client = client
        self._connection = connection
        self._path = path
        self._target = target
        self._headers = headers
        self._response: http.client.HTTPResponse | None = None
        self._socket: socket.socket | None = None

    def open(self, *, is_patient: bool = False) -> None:
        """Ask. Raises AgentError when the agent refuses, or cannot be reached.

        There is a time limit for the beginning of the answer, unless this `is_patient`; there is none for the rest.
        """
        with self._client.errors_of("GET", self._path):
            self._connection.request("GET", self._target, headers=dict(self._headers))
            self._socket = self._connection.sock
            if is_patient:
                self._socket.settimeout(None)
            response = self._connection.getresponse()
            if response.status != 200:
                raise _unexpected(response.status, response.read())
            self._socket.settimeout(None)
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        """Line by line, until the agent ends it or `shut` does. Raises AgentError when it breaks off."""
        assert self._response is not None
        try:
            with self._client.errors_of("GET", self._path):
                yield from self._response
        finally:
            self._connection.close()

    def shut(self) -> None:
        """From another thread: let the iteration end."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class AgentClient:
    """One command's requests to one agent, each on a connection of its own."""

    def __init__(self, arguments: Arguments, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._values = arguments.values
        self._environment = environment
        self.address = arguments.text("http-addr") or environment.get(_ADDRESS_VARIABLE) or DEFAULT_ADDRESS
        if "://" not in self.address:
            scheme = "https" if _is_true(environment.get("CONSUL_HTTP_SSL", "")) else "http"
            self.address = f"{scheme}://{self.address}"
        self.timeout_s = arguments.number("timeout")
        if not 0 < self.timeout_s <= _LONGEST_TIMEOUT_S:
            raise FlagError(f"-timeout is a number of seconds from 1 to {_LONGEST_TIMEOUT_S}")
        self._headers = self._make_headers()

    # --- requests; `query` leaves out what is None ---

    def get(self, path: str, query: Mapping[str, str | None] | None = None, *, allow_missing: bool = False) -> Answer:
        """GET. `allow_missing` lets a 404 through."""
        return self._request("GET", path, query, None, allow_missing=allow_missing)

    def get_json(self, path: str, query: Mapping[str, str | None] | None = None) -> Any:
        """GET a JSON document."""
        return self.get(path, query).json()

    def put(self, path: str, query: Mapping[str, str | None] | None = None, body: bytes = b"") -> Answer:
        """PUT a body."""
        return self._request("PUT", path, query, body)

    def put_json(self, path: str, document: Any, query: Mapping[str, str | None] | None = None) -> Answer:
        """PUT a JSON document."""
        return self.send_json("PUT", path, document, query)

    def send_json(self, method: str, path: str, document: Any, query: Mapping[str, str | None] | None = None) -> Answer:
        """A JSON document by another method."""
        return self._request(method, path, query, json.dumps(document).encode())

    def post(self, path: str, query: Mapping[str, str | None] | None = None) -> Answer:
        """POST nothing."""
        return self._request("POST", path, query, b"")

    def download(self, path: str, sink: BinaryIO) -> Mapping[str, str]:
        """GET a body of any length into a file; the headers. OSError when the file cannot be written."""
        connection = self._connect()
        try:
            with self.errors_of("GET", path):
                connection.request("GET", self._target(path, {}), headers=self._headers)
                response = connection.getresponse()
                if response.status != 200:
                    raise _unexpected(response.status, response.read())
                piece = response.read(_PIECE_BYTES)
            while piece:
                sink.write(piece)
                with self.errors_of("GET", path):
                    piece = response.read(_PIECE_BYTES)
            return dict(response.headers.items())
        finally:
            connection.close()

    def follow(self, path: str, query: Mapping[str, str | None]) -> Iterator[bytes]:
        """GET a body that goes on for as long as the agent has something to say, line by line, without a time limit."""
        stream = self.open_stream(path, query)
        stream.open()
        yield from stream

    def open_stream(self, path: str, query: Mapping[str, str | None]) -> LongAnswer:
        """The same, to be ended from another thread."""
        return LongAnswer(self, self._connect(), path, self._target(path, query), self._headers)

    def upload(self, path: str, source: BinaryIO, size: int) -> None:
        """PUT a file of a size. An agent that refuses it may say so before its end."""
        connection = self._connect()
        headers = {**self._headers, "Content-Length": str(size)}
        try:
            with self.errors_of("PUT", path):
                try:
                    connection.request("PUT", self._target(path, {}), body=source, headers=headers)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # what the agent had to say about it is the better error
                response = connection.getresponse()
                body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise _unexpected(response.status, body)

    def delete(self, path: str, query: Mapping[str, str | None] | None = None) -> Answer:
        """DELETE."""
        return self._request("DELETE", path, query, None)

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | None] | None,
        body: bytes | None,
        *,
        allow_missing: bool = False,
    ) -> Answer:
        target = self._target(path, query or {})
        connection = self._connect()
        try:
            with self.errors_of(method, path):
                connection.request(method, target, body=body, headers=self._headers)
                response = connection.getresponse()
                index = response.headers.get("X-Consul-Index", "")
                answer = Answer(response.status, response.read(), int(index) if index.isdigit() else 0)
        finally:
            connection.close()
        if answer.status == 200 or (allow_missing and answer.status == 404):
            return answer
        raise _unexpected(answer.status, answer.body)

    @contextmanager
    def errors_of(self, method: str, path: str) -> Iterator[None]:
        """What goes wrong on the way to the agent becomes an AgentError."""
        try:
            yield
        except TimeoutError as error:
            raise AgentError(f"{method} {self.address}{path}: no answer within {self.timeout_s} s") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            # ValueError: an address that no resolver takes, or a token that no header can hold
            raise AgentError(f"{method} {self.address}{path}: {_reason(error)}") from error

    def _target(self, path: str, query: Mapping[str, str | None]) -> str:
        """Path and query, escaped; what a shell gave that is no UTF-8 is sent octet by octet."""
        pairs = [(name, value) for name, value in query.items() if value is not None]
        if self._values.get("datacenter"):
            pairs.append(("dc", self._values["datacenter"]))
        if self._values.get("stale"):
            pairs.append(("stale", ""))
        target = quote(path, errors="surrogateescape")
        return f"{target}?{urlencode(pairs, errors='surrogateescape')}" if pairs else target

    def _connect(self) -> http.client.HTTPConnection:
        if self.address.startswith("unix://"):
            return _UnixConnection(self.address.removeprefix("unix://"), self.timeout_s)
        try:
            parts = urlsplit(self.address)
            host, port = parts.hostname or "127.0.0.1", parts.port
        except ValueError as error:
            raise AgentError(f"Invalid address {self.address}: {error}") from error
        if parts.scheme not in ("http", "https"):
            raise AgentError(f'Unknown protocol scheme "{parts.scheme}" in the address {self.address}')
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, port or 80, timeout=self.timeout_s)
        return http.client.HTTPSConnection(host, port or 443, timeout=self.timeout_s, context=self._tls_context())

    def _tls_context(self) -> Any:
        import ssl

        ca_file = self._values["ca-file"] or self._environment.get("CONSUL_CACERT") or None
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise AgentError(f"Cannot read the certificates in {ca_file}: {error}") from error
        if self._environment.get("CONSUL_HTTP_SSL_VERIFY", "").lower() in ("0", "false", "f"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _make_headers(self) -> dict[str, str]:
        headers = {}
        token = self._token()
        if token:
            headers["X-Consul-Token"] = token.encode(errors="surrogateescape").decode(
                "latin-1"
            )  # as http.client has it
        credentials = self._environment.get("CONSUL_HTTP_AUTH", "")
        if credentials:
            headers["Authorization"] = (
                "Basic " + base64.b64encode(credentials.encode(errors="surrogateescape")).decode()
            )
        return headers

    def _token(self) -> str:
        """Flags go before variables, and a token before a file, as in Consul."""
        for token, file in (
            (self._values["token"], self._values["token-file"]),
            (self._environment.get(_TOKEN_VARIABLE, ""), self._environment.get(_TOKEN_FILE_VARIABLE, "")),
        ):
            if token:
                return str(token)
            if file:
                try:
                    return Path(file).read_text().strip()
                except (OSError, UnicodeDecodeError) as error:
                    raise FlagError(f"Error loading token file {file}: {error}") from error
        return ""


def _unexpected(status: int, body: bytes) -> AgentError:
    return AgentError(f"Unexpected response code: {status} ({body.decode(errors='replace').strip()})")


def _is_true(text: str) -> bool:
    return text.lower() in ("1", "t", "true")


def _reason(error: Exception) -> str:
    """The system's words without the error's number."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
