"""Virtual time: everything that happens, in order of time and then of scheduling; an hour passes in seconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, TypeVarTuple, Unpack

from .invariant import ViolationError

ArgumentsT = TypeVarTuple("ArgumentsT")


class Timeline:
    """Time in whole ms, from 0 on. Actions of one moment run in the order in which they were scheduled.

    Each moment has a list of its own, and only moments are in the heap: in a world of thousands, where every ms has
    many actions, scheduling one costs the same as in a small world.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self.actions_run = 0
        self._moments: list[int] = []
        self._actions: dict[int, list[tuple[Callable[..., object], tuple[Any, ...]]]] = {}

    def __len__(self) -> int:
        """How many actions wait for their time."""
        return sum(map(len, self._actions.values()))

    def at(self, time_ms: int, action: Callable[[Unpack[ArgumentsT]], object], *arguments: *ArgumentsT) -> None:
        """Call `action(*arguments)` at a time, or now when that has passed."""
        time_ms = max(time_ms, self.now_ms)
        actions = self._actions.get(time_ms)
        if actions is None:
            self._actions[time_ms] = [(action, arguments)]
            heapq.heappush(self._moments, time_ms)
        else:
            actions.append((action, arguments))

    def after(self, delay_ms: int, action: Callable[[Unpack[ArgumentsT]], object], *arguments: *ArgumentsT) -> None:
        """Call `action(*arguments)` after a delay."""
        self.at(self.now_ms + delay_ms, action, *arguments)

    def run_until(self, time_ms: int) -> None:
        """Let time pass up to and including this moment. What an action raises ends it, and the rest of the moment."""
        moments = self._moments
        while moments and moments[0] <= time_ms:
            self.now_ms = heapq.heappop(moments)
            # What these schedule for this very moment gets a list of its own, which comes next.
            for action, arguments in self._actions.pop(self.now_ms):
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
