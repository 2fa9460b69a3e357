"""When tombstones may go: long enough after a delete that no blocking query can still depend on them.

The leader looks at its newest tombstone now and then; what it saw one lifetime ago is old. It decides and
proposes, so that every server forgets the same tombstones at the same place in the log.
"""

from __future__ import annotations

from collections import deque

TOMBSTONE_TTL_MS = 15 * 60 * 1000
"""Longer than the longest wait (Consul's own figure)."""
OBSERVE_INTERVAL_MS = 30 * 1000


class TombstoneAges:
    """Remembers how new the newest tombstone was at each observation, for one lifetime."""

    __slots__ = ("_seen", "_ttl_ms")

    def __init__(self, ttl_ms: int = TOMBSTONE_TTL_MS) -> None:
        self._ttl_ms = ttl_ms
        self._seen: deque[tuple[int, int]] = deque()

    def observe(self, newest_index: int, now_ms: int) -> int:
        """Note the index of the newest tombstone; the index up to which they may be reaped now, 0 for none."""
        if newest_index and (not self._seen or newest_index > self._seen[-1][1]):
            self._seen.append((now_ms, newest_index))
        expired = 0
        while self._seen and now_ms - self._seen[0][0] >= self._ttl_ms:
            expired = self._seen.popleft()[1]
        return expired
