"""How much of a server's memory those who call it may take: requests that never end, replies that nobody reads."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from .errors import WireError

MIB = 1024 * 1024

MAX_PENDING_BYTES = 256 * MIB
MAX_PENDING_BYTES_PER_HOST = 128 * MIB
MAX_UNREAD_BYTES = 256 * MIB
MAX_UNREAD_BYTES_PER_HOST = 32 * MIB
UNREAD_SHARE_BYTES = 1 * MIB
"""What each host may leave unread, however much others do: one who reads slowly must not keep the others waiting."""
MAX_WARNINGS_PER_MINUTE = 60


class Tally:
    """How many there are of something, in all and by host."""

    def __init__(self) -> None:
        self.total = 0
        self._by_host: dict[str, int] = {}

    def of(self, host: str) -> int:
        """How many are this host's."""
        return self._by_host.get(host, 0)

    def add(self, host: str) -> None:
        """One more."""
        self.total += 1
        self._by_host[host] = self.of(host) + 1

    def remove(self, host: str) -> None:
        """One less."""
        self.total -= 1
        left = self._by_host[host] - 1
        if left:
            self._by_host[host] = left
        else:
            del self._by_host[host]


class Complaints:
    """Warnings of which callers decide how often there is reason: 60 a minute, and then how many were left out."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._minute = -1
        self._logged = 0

    def warn(self, text: str, *arguments: object) -> None:
        """Log a warning if there is room."""
        minute = int(asyncio.get_running_loop().time()) // 60
        if minute != self._minute:
            left_out = self._logged - MAX_WARNINGS_PER_MINUTE
            if left_out > 0:
                self._logger.warning("%d more warnings about callers were not logged", left_out)
            self._minute, self._logged = minute, 0
        self._logged += 1
        if self._logged <= MAX_WARNINGS_PER_MINUTE:
            self._logger.warning(text, *arguments)


class PendingRequests:
    """Bytes of requests that are still arriving or being carried out: of all callers, and of each host."""

    def __init__(self, limit: int = MAX_PENDING_BYTES, limit_per_host: int = MAX_PENDING_BYTES_PER_HOST) -> None:
        self.limit = limit
        self.limit_per_host = limit_per_host
        self.held = 0
        self._by_host: dict[str, int] = {}

    def take(self, host: str, amount: int) -> None:
        """Take bytes, or give some back. Raises WireError, and takes nothing, where there are not enough."""
        if not amount:
            return
        held = self._by_host.get(host, 0) + amount
        if amount > 0 and held > self.limit_per_host:
            raise WireError(f"pending requests of {host} hold more than {self.limit_per_host} bytes")
        if amount > 0 and self.held + amount > self.limit:
            raise WireError(f"pending requests hold more than {self.limit} bytes")
        self.held += amount
        if held:
            self._by_host[host] = held
        else:
            self._by_host.pop(host, None)


class UnreadReplies:
    """Bytes of replies that their callers have not taken yet. Who would add more waits for its turn.

    A single reply may be longer than any limit; while it waits to be read, there is no other of its host.
    """

    def __init__(
        self,
        limit: int = MAX_UNREAD_BYTES,
        limit_per_host: int = MAX_UNREAD_BYTES_PER_HOST,
        share: int = UNREAD_SHARE_BYTES,
    ) -> None:
        self.limit = limit
        self.limit_per_host = limit_per_host
        self._share = share
        self.held = 0
        self._by_host: dict[str, int] = {}
        self._waiters: dict[str, deque[asyncio.Future[None]]] = {}

    def of(self, host: str) -> int:
        """What a host has not taken yet."""
        return self._by_host.get(host, 0)

    def is_full(self, host: str) -> bool:
        """Whether the host has so much to read that it gets nothing more."""
        held = self._by_host.get(host, 0)
        return held >= self.limit_per_host or (held >= self._share and self.held >= self.limit)

    async def wait_for_room(self, host: str) -> None:
        """Wait until the host has read enough of what it was sent before, in the order of asking."""
        while self.is_full(host):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(host, deque()).append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiters.get(host, ()):
                    self._waiters[host].remove(waiter)
                else:
                    self._wake(host)  # it was this one's turn already
                raise

    def add(self, host: str, amount: int) -> None:
        """A reply is about to be sent."""
        self.held += amount
        self._by_host[host] = self._by_host.get(host, 0) + amount
        if self._waiters:
            self._wake(host)  # one who was woken may have left room for the next

    def remove(self, host: str, amount: int) -> None:
        """It was taken, or its connection is over."""
        was_full = self.held >= self.limit
        self.held -= amount
        left = self._by_host[host] - amount
        if left:
            self._by_host[host] = left
        else:
            del self._by_host[host]
        if self._waiters:
            for waiting in list(self._waiters) if was_full else (host,):
                self._wake(waiting)

    def _wake(self, host: str) -> None:
        """Let the first go on."""
        waiters = self._waiters.get(host)
        while waiters and not self.is_full(host):
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break
        if waiters is not None and not waiters:
            del self._waiters[host]
