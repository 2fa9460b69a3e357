"""Lock delays: for how long a key may not be locked again whose session ended without releasing it.

Who held the key may not know yet that it has lost it, and goes on for a moment (the idea is that of Google's Chubby,
section 2.4). A delay is a matter of time, and so no part of the replicated state: each server counts it from when it
applied the end of the session, and the leader refuses to propose a lock before it is over. So delays survive a change
of leader, though not a restart of the server that leads afterwards. (Consul's documentation: "Sessions", lock-delay.)
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

MAX_DELAYS = 262_144
"""Keys that can be delayed at once; when there are more, the delay that would be over first ends early."""

_NS_PER_MS = 1_000_000


class LockDelays:
    """The delays that one server knows of."""

    __slots__ = ("_max_delays", "_now_ms", "_order", "_until_ms")

    def __init__(self, now_ms: Callable[[], int], *, max_delays: int = MAX_DELAYS) -> None:
        self._now_ms = now_ms
        self._max_delays = max_delays
        self._until_ms: dict[bytes, int] = {}
        self._order: list[tuple[int, bytes]] = []
        """A heap of the same; a delay that was replaced leaves a line behind until its time."""

    def __len__(self) -> int:
        return len(self._until_ms)

    def begin(self, delays: Iterable[tuple[bytes, int]]) -> None:
        """Keys have lost their sessions; each with its delay in nanoseconds."""
        now_ms = self._now_ms()
        self._expire(now_ms)
        for key, delay_ns in delays:
            until_ms = now_ms + -(-delay_ns // _NS_PER_MS)
            self._until_ms[key] = until_ms
            heapq.heappush(self._order, (until_ms, key))
            if len(self._order) > self._max_delays:
                self._drop(*heapq.heappop(self._order))

    def holds(self, key: bytes) -> bool:
        """Whether a key may not be locked yet."""
        until_ms = self._until_ms.get(key)
        return until_ms is not None and self._now_ms() < until_ms

    def clear(self) -> None:
        """Forget all: the state was replaced."""
        self._until_ms.clear()
        self._order.clear()

    def _expire(self, now_ms: int) -> None:
        while self._order and self._order[0][0] <= now_ms:
            self._drop(*heapq.heappop(self._order))

    def _drop(self, until_ms: int, key: bytes) -> None:
        if self._until_ms.get(key) == until_ms:
            del self._until_ms[key]
