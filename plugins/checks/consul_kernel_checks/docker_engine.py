"""The Docker engine's API, as far as running a command goes (https://docs.docker.com/engine/api/, "Exec")."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

DEFAULT_HOST = "unix:///var/run/docker.sock"
REPLY_MAX_BYTES = 65_536
_FRAME = struct.Struct(">BxxxI")
"""Before each piece of output: which stream it is of, and its length."""


class DockerError(Exception):
    """The engine could not be asked, or refused; in Consul's words."""


ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)


class _Created(msgspec.Struct):
    id: str = msgspec.field(name="Id")


class _Inspected(msgspec.Struct):
    exit_code: int | None = msgspec.field(name="ExitCode", default=None)


def docker_host() -> str:
    """Where the engine listens: `unix://PATH` or `tcp://HOST:PORT`."""
    return os.environ.get("DOCKER_HOST", "") or DEFAULT_HOST


class DockerEngine:
    """A connection to the engine, within `async with`."""

    def __init__(self, host: str) -> None:
        self._host = host

    async def __aenter__(self) -> Self:
        scheme, _, address = self._host.partition("://")
        if not address or scheme not in ("unix", "tcp"):
            raise DockerError(f"unable to parse docker host `{self._host}`")
        is_unix = scheme == "unix"
        connector = aiohttp.UnixConnector(address) if is_unix else aiohttp.TCPConnector()
        self._base = "http://docker" if is_unix else f"http://{address.rstrip('/')}"
        self._session = aiohttp.ClientSession(connector=connector)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._session.close()

    async def create_exec(self, container: str, args: Sequence[str]) -> str:
        """Prepare a command; the id of its execution."""
        body = {"AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "Tty": False, "Cmd": list(args)}
        failed = "create exec failed"
        path = f"/containers/{quote(container, safe='')}/exec"
        status, reply = await self._call("POST", path, body, f"{failed} for container {container}")
        if status == 404:
            raise DockerError(f"{failed} for unknown container {container}")
        if status == 409:
            raise DockerError(f"{failed} since container {container} is paused or stopped")
        if status != 201:
            raise DockerError(f"{failed} for container {container} with status {status}: {_text(reply)}")
        return _parsed(reply, _Created, f"create exec response for container {container}").id

    async def start_exec(self, container: str, execution: str, output: Callable[[bytes], None]) -> None:
        """Run the command to its end; what it says goes to `output`."""
        failed = f"start exec failed for container {container}"
        url = f"{self._base}/exec/{execution}/start"
        try:
            async with self._session.post(url, json={"Detach": False, "Tty": False}) as response:
                if response.status != 200:
                    reply = await _body(response)
                    raise DockerError(f"{failed} with status {response.status}: {_text(reply)}")
                await _read_frames(response.content, output)
        except (aiohttp.ClientError, OSError) as error:
            raise DockerError(f"{failed}: {error}") from error

    async def inspect_exec(self, container: str, execution: str) -> int:
        """The exit status of a command that has ended."""
        failed = f"inspect exec failed for container {container}"
        status, reply = await self._call("GET", f"/exec/{execution}/json", None, failed)
        if status != 200:
            raise DockerError(f"{failed} with status {status}: {_text(reply)}")
        code = _parsed(reply, _Inspected, f"inspect exec response for container {container}").exit_code
        if code is None:
            raise DockerError(f"{failed}: the command has not ended")
        return code

    async def _call(self, method: str, path: str, body: Any, failed: str) -> tuple[int, bytes]:
        try:
            async with self._session.request(method, self._base + path, json=body) as response:
                return response.status, await _body(response)
        except (aiohttp.ClientError, OSError) as error:
            raise DockerError(f"{failed}: {error}") from error


async def _read_frames(stream: aiohttp.StreamReader, output: Callable[[bytes], None]) -> None:
    """Hand on what is in the frames, in pieces; an end in the middle of one is an end."""
    buffered = bytearray()
    left = 0
    async for piece in stream.iter_any():
        buffered += piece
        while buffered:
            if not left:
                if len(buffered) < _FRAME.size:
                    break
                _, left = _FRAME.unpack_from(buffered)
                del buffered[: _FRAME.size]
                continue
            output(bytes(buffered[:left]))
            taken = min(left, len(buffered))
            del buffered[:taken]
            left -= taken


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """A reply, no longer than any that is expected."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > REPLY_MAX_BYTES:
            break
    return bytes(body[:REPLY_MAX_BYTES])


def _parsed(reply: bytes, kind: type[ReplyT], what: str) -> ReplyT:
    try:
        return msgspec.json.decode(reply, type=kind)
    except msgspec.DecodeError as error:
        raise DockerError(f"{what} cannot be parsed: {error}") from error


def _text(reply: bytes) -> str:
    return reply.decode("utf-8", "replace").strip()
