"""One answer, written to the connection as one block of octets.

aiohttp's own Response builds a header dictionary and serialises it for every request; most of our headers
never change, so they are kept as ready octets (`HeadTemplate`) and only the rest is formatted.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

JSON = b"Content-Type: application/json\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"
HTML = b"Content-Type: text/html; charset=utf-8\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_STATUS_LINES.update({413: b"HTTP/1.1 413 Request Entity Too Large\r\n"})
_HTTP10 = b"HTTP/1.0"
_CLOSE = b"Connection: close\r\n"
_KEEP_ALIVE = b"Connection: keep-alive\r\n"
_END = b"\r\n"

GZIP_FROM_OCTETS = 8 * 1024
"""Smaller bodies are not worth the time it takes to press them."""
WAITS_FROM_OCTETS = 64 * 1024
"""Up to here an answer fits into the connection's buffers, so that writing it never waits."""
WRITE_TIMEOUT_S = 60.0
"""How long a client may take to read a longer one."""
_GZIP_LEVEL = 1
_GZIP_WINDOW_BITS = 31


def canonical_header(name: str) -> str:
    """Go's spelling of a header name: `x-consul-index` becomes `X-Consul-Index`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def header_line(name: str, value: str) -> bytes:
    """One header line. Line breaks cannot occur in a header; they become spaces."""
    return f"{canonical_header(name)}: {value}".replace("\r", " ").replace("\n", " ").encode() + b"\r\n"


class HeadTemplate:
    """The header lines that every answer carries: those configured, and the date, which changes each second."""

    __slots__ = ("_dated", "_lines", "_second")

    def __init__(self, response_headers: Mapping[str, str]) -> None:
        configured = b"".join(header_line(name, value) for name, value in response_headers.items())
        self._lines = b"Vary: Accept-Encoding\r\n" + configured
        self._second = 0
        self._dated = b""

    def lines(self) -> bytes:
        """The lines as of now."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._dated = f"Date: {formatdate(second, usegmt=True)}\r\n".encode() + self._lines
        return self._dated


async def write_in_time(request: web.BaseRequest, octets: bytes) -> None:
    """Write what may have to wait for the client to read; one that does not read is cut off."""
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await request.writer.write(octets)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client does not read its answer") from None


class Answer(web.StreamResponse):
    """A whole answer. `head` are its own header lines, each ended by CR LF.

    The attributes and methods are those that aiohttp's protocol asks of a response; the base class's
    constructor is left out on purpose, since it makes the dictionaries that this class does without.
    """

    def __init__(self, status: int, template: bytes, head: bytes, body: bytes = b"", *, close: bool = False) -> None:
        self._answer_status = status
        self._template = template
        self._own_head = head
        self._octets = body
        self._stays_open = not close

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._answer_status

    @property
    def own_head(self) -> bytes:
        """Its own header lines."""
        return self._own_head

    @property
    def body_octets(self) -> bytes:
        """The body, before any content coding."""
        return self._octets

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may serve another request."""
        return self._stays_open

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Write the answer. Raises ConnectionError when the client has gone."""
        body = self._octets
        coding = b""
        if len(body) >= GZIP_FROM_OCTETS and "gzip" in request.headers.get("Accept-Encoding", ""):
            packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW_BITS)
            body = packer.compress(body) + packer.flush()
            coding = b"Content-Encoding: gzip\r\n"
        line, connection = self.first_lines(request)
        length = b"" if self._answer_status in {204, 304} else b"Content-Length: %d\r\n" % len(body)
        if request.method == "HEAD":
            body = b""
        # One write: head and body leave in one segment.
        octets = b"".join((line, self._template, self._own_head, coding, length, connection, _END, body))
        if len(octets) < WAITS_FROM_OCTETS:
            await request.writer.write(octets)
        else:
            await write_in_time(request, octets)
        return request.writer

    def first_lines(self, request: web.BaseRequest) -> tuple[bytes, bytes]:
        """The status line, and what is said of the connection, in the client's version of HTTP."""
        if not request.keep_alive:
            self._stays_open = False
        line = _STATUS_LINES[self._answer_status]
        if request.version < (1, 1):
            return _HTTP10 + line[8:], _KEEP_ALIVE if self._stays_open else b""
        return line, b"" if self._stays_open else _CLOSE

    async def write_eof(self, data: bytes = b"") -> None:
        """Everything was written by `prepare`."""
