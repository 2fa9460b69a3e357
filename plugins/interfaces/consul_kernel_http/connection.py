"""Connections: how many, how long they may stay silent, and what garbage on them is answered with.

aiohttp's protocol parses and answers; this module bounds what it leaves open. It uses aiohttp's documented class
`web.RequestHandler` and overrides the callbacks of asyncio's own Protocol.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from consul_kernel.structs.settings import HttpSettings, LimitSettings

from .answer import TEXT, Answer

logger = logging.getLogger(__name__)

_TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"Your IP is issuing too many concurrent connections, please rate limit your calls\n"
)
_HEADERS_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\n431 Request Header Fields Too Large"
)
_REFUSED_LINGERS_S = 0.25
"""A refused client has this long to read why, before the connection is reset."""

DEFAULT_MAX_HEADER_OCTETS = 1 << 20
"""Go's limit on request line and headers together."""
_HEADER_SLACK_OCTETS = 1 << 20
"""What may have arrived behind the headers before their request is taken up."""


@dataclass(slots=True)
class ConnectionLimits:
    """What connections of one interface may do; shared by all of them."""

    max_per_client: int = 0
    """Connections at once from one IP address; 0 is no limit."""
    max_header_octets: int = DEFAULT_MAX_HEADER_OCTETS
    header_timeout_s: float = 10.0
    """From the first octet of a request to the end of its headers."""
    per_client: Counter[str] = field(default_factory=Counter)
    open: set[Connection] = field(default_factory=set)

    def settle(self, http: HttpSettings, limits: LimitSettings, *, header_timeout_s: float) -> None:
        """Go by these from now on."""
        self.max_per_client = limits.http_max_conns_per_client
        self.max_header_octets = http.max_header_bytes or DEFAULT_MAX_HEADER_OCTETS
        self.header_timeout_s = header_timeout_s

    def close_overdue(self, now_s: float) -> None:
        """Close the connections whose request headers do not come to an end."""
        for connection in [each for each in self.open if each.is_overdue(now_s)]:
            connection.force_close()


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_client", "_clock", "_limits", "_pending_octets", "_pending_since_s", "is_serving")

    def __init__(self, manager: web.Server, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(manager, **options)
        self._limits = limits
        self._clock = options["loop"].time
        self._client = ""
        self._pending_since_s = 0.0
        self._pending_octets = 0
        self.is_serving = False

    # --- asyncio's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the client in, or refuse it."""
        limits = self._limits
        peer = transport.get_extra_info("peername")
        client = peer[0] if isinstance(peer, tuple) else ""
        if client and 0 < limits.max_per_client <= limits.per_client[client]:
            _refuse(transport, _TOO_MANY_CONNECTIONS)
            return
        self._client = client
        limits.per_client[client] += 1
        limits.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count the client out."""
        limits = self._limits
        if self in limits.open:
            limits.open.discard(self)
            limits.per_client[self._client] -= 1
            if limits.per_client[self._client] <= 0:
                del limits.per_client[self._client]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; note since when, and with how much, a request has been on its way."""
        if not self.is_serving:
            if not self._pending_octets:
                self._pending_since_s = self._clock()
            self._pending_octets += len(data)
            if self._pending_octets > self._limits.max_header_octets + _HEADER_SLACK_OCTETS:
                if self.transport is not None:
                    self.transport.write(_HEADERS_TOO_LARGE)
                self.force_close()
                return
        super().data_received(data)

    # --- for the interface ---

    def begin(self) -> None:
        """A request has arrived in full, headers at least."""
        self.is_serving = True
        self._pending_octets = 0

    def end(self) -> None:
        """Its answer is ready."""
        self.is_serving = False

    def is_overdue(self, now_s: float) -> bool:
        """Whether a request has been on its way for too long."""
        return self._pending_octets > 0 and now_s - self._pending_since_s > self._limits.header_timeout_s

    # --- aiohttp's ---

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is not HTTP is answered as Go's server answers it, and is no reason for more than a debug line."""
        if isinstance(exc, LineTooLong):
            status, text = 431, b"431 Request Header Fields Too Large"
        else:
            status, text = 400, b"400 Bad Request"
        logger.debug("malformed request from %s: %s", self._client, exc)
        return Answer(status, b"", TEXT, text, close=True)


class _Refused(asyncio.Protocol):
    """Ignores whatever a refused client still sends."""


def _refuse(made: asyncio.BaseTransport, answer: bytes) -> None:
    transport = cast("asyncio.Transport", made)  # uvloop's transports are none by inheritance
    transport.set_protocol(_Refused())
    transport.write(answer)
    if transport.can_write_eof():
        transport.write_eof()
    asyncio.get_running_loop().call_later(_REFUSED_LINGERS_S, transport.abort)
