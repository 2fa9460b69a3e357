"""What a client is told whose octets, or whose connection, are not taken."""

from __future__ import annotations

import asyncio

from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong

TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"Your IP is issuing too many concurrent connections, please rate limit your calls\n"
)
_REFUSED_LINGERS_S = 0.25
"""A refused client has this long to read why, before the connection is reset."""


class HeadersTooLargeError(BadHttpMessage):
    """Request line and headers together are too long."""


def refusal_of(error: HttpProcessingError) -> bytes:
    """The answer to what is not HTTP, in Go's words, after which the connection ends."""
    if isinstance(error, LineTooLong | HeadersTooLargeError):
        return _closing(b"431 Request Header Fields Too Large")
    return _closing(b"400 Bad Request")


def _closing(text: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (text, len(text)) + text


class _Refused(asyncio.Protocol):
    """Ignores whatever a refused client still sends."""


def refuse(transport: asyncio.Transport, answer: bytes) -> None:
    """Answer before anything was asked, and part."""
    transport.set_protocol(_Refused())
    transport.write(answer)
    if transport.can_write_eof():
        transport.write_eof()
    asyncio.get_running_loop().call_later(_REFUSED_LINGERS_S, transport.abort)
