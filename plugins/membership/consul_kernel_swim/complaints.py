"""Warnings of which strangers decide how often there is something to say."""

from __future__ import annotations

import logging
from typing import Final

logger = logging.getLogger("consul_kernel.swim")

_PER_MINUTE: Final = 60
_REFUSALS_PER_MINUTE: Final = 30
"""Fewer, so that strangers leave room for what members give reason to say."""


class Complaints:
    """Logs at most 60 warnings a minute, and refusals of one peer for one reason once in it; the others it counts."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._minute = -1
        self._logged = 0
        self._told: set[tuple[str, str]] = set()
        self.suppressed = 0

    def warn(self, text: str, now_ms: int) -> None:
        """Log a warning if there is room."""
        if self._has_room(now_ms):
            self._log(text)

    def refused(self, what: str, host: str, reason: str, now_ms: int) -> None:
        """Log that a packet or stream of this host was not taken, and why."""
        key = (host, reason)
        self._begin_minute(now_ms)
        if key in self._told or len(self._told) >= _REFUSALS_PER_MINUTE:
            self.suppressed += 1
        elif self._has_room(now_ms):
            self._told.add(key)
            self._log(f"a {what} from {host} was refused: {reason}")

    def _begin_minute(self, now_ms: int) -> None:
        minute = now_ms // 60_000
        if minute != self._minute:
            self._minute, self._logged = minute, 0
            self._told.clear()

    def _has_room(self, now_ms: int) -> bool:
        self._begin_minute(now_ms)
        if self._logged >= _PER_MINUTE:
            self.suppressed += 1
            return False
        return True

    def _log(self, text: str) -> None:
        self._logged += 1
        logger.warning("pool %s: %s", self._pool, text)
