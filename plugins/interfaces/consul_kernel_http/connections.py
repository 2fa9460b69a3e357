"""All connections of one interface: how many there may be, how long they may stay silent, and how they end.

Each connection has one deadline, which a timer that all of them share looks at: a timer of its own for each request
would cost as much as some answers do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from consul_kernel.structs.settings import HttpSettings, LimitSettings

from .connection import Connection

if TYPE_CHECKING:
    from .answer import Answer
    from .request import Request

DEFAULT_MAX_HEADER_OCTETS = 1 << 20
"""Go's limit on request line and headers together."""
_SWEEP_INTERVAL_S = 1.0
"""So much later than its deadline a connection may end."""

Handler = Callable[["Request"], Coroutine[Any, Any, "Answer"]]


class Connections:
    """The open connections, and what they may do."""

    def __init__(self, handle: Handler) -> None:
        self.handle = handle
        """Answers one request; `Request.in_task` comes before whatever it waits for. Raises only cancellation."""
        self.max_per_client = 0
        """Connections at once from one IP address; 0 is no limit."""
        self.max_header_octets = DEFAULT_MAX_HEADER_OCTETS
        self.header_timeout_s = 10.0
        """From the first octet of a request to the end of its headers."""
        self.keepalive_timeout_s = 180.0
        """From the end of an answer to the next request."""
        self.is_closing = False
        self._open: set[Connection] = set()
        self._per_client: Counter[str] = Counter()
        self._sweep: asyncio.TimerHandle | None = None
        self._all_gone: asyncio.Future[None] | None = None

    def settle(
        self, http: HttpSettings, limits: LimitSettings, *, header_timeout_s: float, keepalive_timeout_s: float
    ) -> None:
        """Go by these from now on."""
        self.max_per_client = limits.http_max_conns_per_client
        self.max_header_octets = http.max_header_bytes or DEFAULT_MAX_HEADER_OCTETS
        self.header_timeout_s = header_timeout_s
        self.keepalive_timeout_s = keepalive_timeout_s

    def __len__(self) -> int:
        return len(self._open)

    def make(self) -> Connection:
        """A connection that is about to be made."""
        return Connection(self, asyncio.get_running_loop())

    def admit(self, connection: Connection, client: str) -> bool:
        """Count a client in; False where it has too many connections already."""
        if client and 0 < self.max_per_client <= self._per_client[client]:
            return False
        self._per_client[client] += 1
        self._open.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """Count a client out."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        client = connection.client
        self._per_client[client] -= 1
        if self._per_client[client] <= 0:
            del self._per_client[client]
        if not self._open and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

    def watch(self) -> None:
        """End, from now on, the connections whose deadlines are over."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for connection in [each for each in self._open if each.deadline_s < now_s]:
            connection.end_overdue()
        self._sweep = loop.call_later(_SWEEP_INTERVAL_S, self.watch)

    async def aclose(self, grace_s: float) -> None:
        """Close those that rest; give requests so long, then once more after they were cancelled."""
        self.is_closing = True
        for connection in list(self._open):
            if not connection.is_busy:
                connection.close()
        await self._until_gone(grace_s)
        for connection in list(self._open):
            connection.cancel()
        await self._until_gone(grace_s)
        for connection in list(self._open):
            connection.abort()
        if self._sweep is not None:
            self._sweep.cancel()

    async def _until_gone(self, timeout_s: float) -> None:
        if not self._open:
            return
        self._all_gone = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._all_gone], timeout=timeout_s)
