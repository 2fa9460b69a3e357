"""What the catalog has said lately, for agents that may go by it (`dns_config.use_cache`, `cache_max_age`).

Without those keys nothing is remembered, and every answer begins with a read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .naming import NodeRead, ServiceRead

MAX_REPLIES = 2048
"""When full, the one that was read longest ago goes."""


class ReadMemory:
    """Replies by what was read. None is older than `max_age_s`; 0: there are none."""

    def __init__(self, max_age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age_s = max_age_s
        self._clock = clock
        self._replies: dict[ServiceRead | NodeRead, tuple[float, Any]] = {}

    def __len__(self) -> int:
        return len(self._replies)

    def get(self, read: ServiceRead | NodeRead) -> Any:
        """The reply to the same read, if there is one that is young enough; None otherwise."""
        found = self._replies.get(read)
        if found is None:
            return None
        if self._clock() - found[0] >= self._max_age_s:
            del self._replies[read]
            return None
        return found[1]

    def put(self, read: ServiceRead | NodeRead, reply: Any) -> None:
        """Remember a reply that came just now."""
        if self._max_age_s <= 0:
            return
        self._replies.pop(read, None)
        while len(self._replies) >= MAX_REPLIES:
            del self._replies[next(iter(self._replies))]
        self._replies[read] = (self._clock(), reply)
