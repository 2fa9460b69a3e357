"""When those who wait for a proposal give up: one timer for all. One for each costs as much as applying the command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

GRAIN_S = 0.01
"""The timer looks at all who wait; not more often than this, however their deadlines lie."""


class Waiting(Protocol):
    """Somebody who waits, until a time of the event loop's clock."""

    future: asyncio.Future[Any]
    deadline_s: float


class Deadlines:
    """Keeps a timer at the earliest deadline that it was told of. Whoever is past his gets the error."""

    def __init__(self, waiting: Callable[[], Iterable[Waiting]], error: Callable[[], Exception]) -> None:
        self._waiting = waiting
        self._error = error
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    def note(self, deadline_s: float) -> None:
        """Somebody waits until then. Deadlines mostly rise, so this mostly does nothing."""
        if self._timer is None or deadline_s < self._due_s:
            self._arm(deadline_s)

    def _arm(self, due_s: float) -> None:
        self.close()
        self._due_s = due_s
        self._timer = asyncio.get_running_loop().call_at(due_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        earliest_s: float | None = None
        for item in self._waiting():
            if item.future.done():
                continue
            if item.deadline_s <= now_s:
                item.future.set_exception(self._error())
            elif earliest_s is None or item.deadline_s < earliest_s:
                earliest_s = item.deadline_s
        if earliest_s is not None:
            self._arm(max(earliest_s, now_s + GRAIN_S))

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
