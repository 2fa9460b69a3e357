"""Virtual time: whatever happens is one heap of (time, order of scheduling), and an hour passes in seconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, TypeVarTuple, Unpack

from .invariant import ViolationError

ArgumentsT = TypeVarTuple("ArgumentsT")


class Timeline:
    """Time in whole ms, from 0 on. Actions of one moment run in the order in which they were scheduled."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.actions_run = 0
        self._heap: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._scheduled = 0

    def __len__(self) -> int:
        """How many actions wait for their time."""
        return len(self._heap)

    def at(self, time_ms: int, action: Callable[[Unpack[ArgumentsT]], object], *arguments: *ArgumentsT) -> None:
        """Call `action(*arguments)` at a time, or now when that has passed."""
        self._scheduled += 1
        heapq.heappush(self._heap, (max(time_ms, self.now_ms), self._scheduled, action, arguments))

    def after(self, delay_ms: int, action: Callable[[Unpack[ArgumentsT]], object], *arguments: *ArgumentsT) -> None:
        """Call `action(*arguments)` after a delay."""
        self._scheduled += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._scheduled, action, arguments))

    def run_until(self, time_ms: int) -> None:
        """Let time pass up to and including this moment."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= time_ms:
            self.now_ms, _, action, arguments = pop(heap)
            self.actions_run += 1
            action(*arguments)
        self.now_ms = max(self.now_ms, time_ms)

    def run_for(self, duration_ms: int) -> None:
        """Let time pass."""
        self.run_until(self.now_ms + duration_ms)

    def run_until_true(
        self, condition: Callable[[], bool], within_ms: int, what: Callable[[], str] | str, *, every_ms: int = 100
    ) -> int:
        """Let time pass until `condition` holds, looking every so often; how long it took.

        Raises ViolationError, with the text of `what`, when it takes longer than `within_ms`.
        """
        began_ms = self.now_ms
        while not condition():
            passed_ms = self.now_ms - began_ms
            if passed_ms >= within_ms:
                text = what if isinstance(what, str) else what()
                raise ViolationError(f"not within {within_ms} ms: {text}")
            self.run_for(min(every_ms, within_ms - passed_ms))
        return self.now_ms - began_ms
