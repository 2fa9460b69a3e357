"""One answer, written to the connection as one block of octets.

Most of our headers never change, so they are kept as ready octets (`HeadTemplate`), and only the rest is formatted.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp.hdrs import ACCEPT_ENCODING

from .request import Request

JSON = b"Content-Type: application/json\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"
HTML = b"Content-Type: text/html; charset=utf-8\r\n"
DEFAULT_ACL_POLICY = b"X-Consul-Default-Acl-Policy: allow\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_STATUS_LINES.update({413: b"HTTP/1.1 413 Request Entity Too Large\r\n"})
_HTTP10 = b"HTTP/1.0"
_CLOSE = b"Connection: close\r\n\r\n"
_KEEP_ALIVE = b"Connection: keep-alive\r\n\r\n"
_END = b"\r\n"
_WITHOUT_LENGTH = frozenset({204, 304})
_LENGTH = b"Content-Length: %d\r\n"
_KEPT_LENGTHS = 1024
_LENGTHS = tuple(_LENGTH % size for size in range(_KEPT_LENGTHS))

GZIP_FROM_OCTETS = 8 * 1024
"""Smaller bodies are not worth the time it takes to press them."""
_JOINED_BELOW_OCTETS = 16 * 1024
"""Longer bodies are not copied once more to stand behind their head."""
WRITE_TIMEOUT_S = 60.0
"""How long a client may take to read a longer one."""
_GZIP_LEVEL = 1
_KEPT_PRESSED = 32
_LARGEST_KEPT_OCTETS = 1 << 20
_GZIP_WINDOW_BITS = 31


def canonical_header(name: str) -> str:
    """Go's spelling of a header name: `x-consul-index` becomes `X-Consul-Index`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def header_line(name: str, value: str) -> bytes:
    """One header line. Line breaks cannot occur in a header; they become spaces."""
    return f"{canonical_header(name)}: {value}".replace("\r", " ").replace("\n", " ").encode() + b"\r\n"


class HeadTemplate:
    """The header lines that every answer carries: those configured, and the date, which changes each second."""

    __slots__ = ("_dated", "_lines", "_second", "_with_policy")

    def __init__(self, response_headers: Mapping[str, str]) -> None:
        configured = b"".join(header_line(name, value) for name, value in response_headers.items())
        self._lines = b"Vary: Accept-Encoding\r\n" + configured
        self._second = 0
        self._dated = self._with_policy = b""

    def lines(self) -> bytes:
        """The lines as of now."""
        if int(time.time()) != self._second:
            self._renew()
        return self._dated

    def lines_with_policy(self) -> bytes:
        """The same with what is said of ACLs, which every endpoint's answer has."""
        if int(time.time()) != self._second:
            self._renew()
        return self._with_policy

    def _renew(self) -> None:
        self._second = int(time.time())
        self._dated = f"Date: {formatdate(self._second, usegmt=True)}\r\n".encode() + self._lines
        self._with_policy = self._dated + DEFAULT_ACL_POLICY


async def write_in_time(request: Request, octets: bytes) -> None:
    """Write what may have to wait for the client to read; one that does not read is cut off."""
    if request.connection.write(octets):
        await request.connection.drained(WRITE_TIMEOUT_S)


class Answer:
    """A whole answer. `own_head` are its own header lines, each ended by CR LF."""

    __slots__ = ("_closes", "_template", "body_octets", "own_head", "status")

    def __init__(self, status: int, template: bytes, head: bytes, body: bytes = b"", *, close: bool = False) -> None:
        self.status = status
        """The HTTP status."""
        self._template = template
        self.own_head = head
        self.body_octets = body
        """The body, before any content coding."""
        self._closes = close

    def keeps_alive(self, request: Request) -> bool:
        """Whether the connection may serve another request."""
        return request.keep_alive and not self._closes

    def send(self, request: Request) -> bool:
        """Write the answer, as far as that takes no time; whether it has to be waited for (`sent`)."""
        body = self.body_octets
        size = len(body)
        coding = b""
        if size >= GZIP_FROM_OCTETS and "gzip" in request.headers.get(ACCEPT_ENCODING, ""):
            body = _pressed_once(body) if size <= _LARGEST_KEPT_OCTETS else _pressed(body)
            size = len(body)
            coding = b"Content-Encoding: gzip\r\n"
        line, end = self.first_lines(request)
        if self.status in _WITHOUT_LENGTH:
            length = b""
        else:
            length = _LENGTHS[size] if size < _KEPT_LENGTHS else _LENGTH % size
        if size and request.method == "HEAD":
            body = b""
        if size < _JOINED_BELOW_OCTETS:
            # One write: head and body leave in one segment.
            octets = b"".join((line, self._template, self.own_head, coding, length, end, body))
            return request.connection.write(octets)
        head = b"".join((line, self._template, self.own_head, coding, length, end))
        return request.connection.write(head, body)

    async def sent(self, request: Request) -> None:
        """Wait until the client has as good as read it. ConnectionError when it has gone."""
        await request.connection.drained(WRITE_TIMEOUT_S)

    def first_lines(self, request: Request) -> tuple[bytes, bytes]:
        """The status line, and the end of the head, in the client's version of HTTP."""
        line = _STATUS_LINES[self.status]
        if self.keeps_alive(request):
            return (_HTTP10 + line[8:], _KEEP_ALIVE) if request.is_http_1_0 else (line, _END)
        return (_HTTP10 + line[8:], _END) if request.is_http_1_0 else (line, _CLOSE)


@lru_cache(maxsize=_KEPT_PRESSED)
def _pressed_once(body: bytes) -> bytes:
    """What many ask for is the same object each time (`shared_bodies`), which is found by its remembered hash."""
    return _pressed(body)


def _pressed(body: bytes) -> bytes:
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW_BITS)
    return packer.compress(body) + packer.flush()
