"""Timers on logical time: a heap ordered by time, then by order of creation."""

from __future__ import annotations

import heapq
from collections.abc import Callable

_COMPACT_FROM = 256
"""Below this many entries, cancelled ones are left to their time."""


class Timer:
    """One pending action. Cancelling is cheap: the entry is dropped when its time comes, or when half are such."""

    __slots__ = ("_timers", "action", "at_ms", "cancelled")

    def __init__(self, at_ms: int, action: Callable[[], None], timers: Timers) -> None:
        self.at_ms = at_ms
        self.action = action
        self.cancelled = False
        self._timers = timers

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self._timers.cancelled += 1


class Timers:
    """All timers of one core. What peers start and stop again and again takes no more room than what is pending."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._created = 0
        self.cancelled = 0
        """How many entries of the heap are cancelled, at most: one that had run before it was cancelled counts too."""

    def __len__(self) -> int:
        """How many wait, the cancelled ones among them."""
        return len(self._heap)

    def schedule(self, at_ms: int, action: Callable[[], None]) -> Timer:
        """Call `action` in the first step at or after `at_ms`."""
        if self.cancelled > _COMPACT_FROM and 2 * self.cancelled > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if not entry[2].cancelled]
            heapq.heapify(self._heap)
            self.cancelled = 0
        timer = Timer(at_ms, action, self)
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
