"""Timers on logical time: a heap ordered by time, then by order of creation."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Timer:
    """One pending action. Cancelling is free; a cancelled timer is dropped when its time comes."""

    __slots__ = ("action", "at_ms", "cancelled")

    def __init__(self, at_ms: int, action: Callable[[], None]) -> None:
        self.at_ms = at_ms
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Timers:
    """All timers of one core."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._created = 0

    def schedule(self, at_ms: int, action: Callable[[], None]) -> Timer:
        """Call `action` in the first step at or after `at_ms`."""
        timer = Timer(at_ms, action)
        self._created += 1
        heapq.heappush(self._heap, (at_ms, self._created, timer))
        return timer

    def next_ms(self) -> int | None:
        """When the first live timer is due."""
        heap = self._heap
        while heap and heap[0][2].cancelled:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def run_due(self, now_ms: int) -> None:
        """Run what is due. What an action schedules meanwhile waits for the next step, also when it is due already."""
        heap, last = self._heap, self._created
        while heap and heap[0][0] <= now_ms and heap[0][1] <= last:
            timer = heapq.heappop(heap)[2]
            if not timer.cancelled:
                timer.action()
