"""When Python searches for garbage: not among what stays, since a search stops the agent for as long as it takes.

A search of everything goes through each key of a state in memory: some 20 ms for a million, several times that where
the processor's caches are cold. So what a long search found to be in use is not searched again (`gc.freeze`).
"""

from __future__ import annotations

import gc
import time
from typing import Any

LONG_S = 0.005
"""CPU of a search after which what it has found in use is left out of the next."""
_OLDEST = 2
YOUNG_MAX = 10_000
"""Objects that are made, and still there, before a search among the young. Python's 700 are fewer than what requests of
some dozens of clients hold at once: those were searched, and grew old, again and again."""


class GarbageSearch:
    """Begins once an agent has started: what the start has made stays.

    What is left out may become garbage later, in cycles. Hence all is searched once more each time that twice as
    many objects are left out as the last such search had found: that many lie about at most.
    """

    def __init__(self) -> None:
        self._threshold = gc.get_threshold()
        self._began_s = 0.0
        self._in_use = 0
        self._includes_all = False

    def begin(self) -> None:
        """Search from now on."""
        gc.freeze()
        self._in_use = gc.get_freeze_count()
        gc.callbacks.append(self._observe)
        self._threshold = gc.get_threshold()
        gc.set_threshold(YOUNG_MAX, *self._threshold[1:])
        gc.enable()

    def end(self) -> None:
        """Leave the rest to Python. Idempotent."""
        if self._observe in gc.callbacks:
            gc.callbacks.remove(self._observe)
            gc.set_threshold(*self._threshold)

    def _observe(self, phase: str, info: dict[str, Any]) -> None:
        if info["generation"] != _OLDEST:
            return
        if phase == "start":
            self._began_s = time.thread_time()
        elif self._includes_all or time.thread_time() - self._began_s > LONG_S:
            self._leave_out()

    def _leave_out(self) -> None:
        """What the search that has just ended found in use."""
        gc.freeze()
        left_out = gc.get_freeze_count()
        if self._includes_all:
            self._includes_all, self._in_use = False, left_out
        elif left_out > 2 * self._in_use:
            self._includes_all = True
            gc.unfreeze()
