"""How far a watch has come: what to ask for next, whether what came is news, and how long to wait after a failure.

(Consul: package api/watch, plan.go.)
"""

from __future__ import annotations

from typing import Any

from consul_kernel.structs.event import event_index

from .plan import EVENT

RETRY_S = 5.0
MAX_RETRY_S = 180.0


class Progress:
    """The state of one watch; no clock, no I/O."""

    def __init__(self, watch_type: str) -> None:
        self._is_event = watch_type == EVENT
        self.index = 0
        """From which index on to ask; 0 for what there is."""
        self._is_first = True
        self._seen = 0
        self._last: Any = None
        self._failures = 0

    def take(self, index: int, result: Any) -> tuple[bool, Any]:
        """Take up an answer: whether it is news, and what of it is. The first one always is."""
        self._failures = 0
        before, self._seen = self._seen, index
        if self._is_event:
            # Its index is a hash of the newest event: it does not grow, and what is behind the last one is new.
            result, self.index = _behind(result, before), index
            is_news = self._is_first or bool(result)
        else:
            # One that has gone back counts changes anew: so do we.
            self.index = 0 if index < self.index else index
            is_news = self._is_first or result != self._last
            self._last = result
        self._is_first = False
        return is_news, result

    def failed(self) -> float:
        """The servers could not be asked: for how many seconds to leave them alone."""
        self._failures += 1
        self.index = 0
        return min(RETRY_S * self._failures**2, MAX_RETRY_S)


def _behind(events: list[Any], index: int) -> list[Any]:
    for position, event in enumerate(events):
        if event_index(event.id) == index:
            return events[position + 1 :]
    return events
