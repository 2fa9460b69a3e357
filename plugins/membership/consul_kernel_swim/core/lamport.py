"""Lamport clocks (Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978)."""

from __future__ import annotations

from typing import Final

_WITNESS_MAX: Final = 1 << 62
"""Times above this do not move a clock, so that one forged message leaves room for counting on."""


class LamportClock:
    """Counts up; a time seen elsewhere is passed."""

    __slots__ = ("time",)

    def __init__(self) -> None:
        self.time = 1

    def witness(self, seen: int) -> None:
        """After this the clock is ahead of `seen`, unless that is absurd."""
        if self.time <= seen <= _WITNESS_MAX:
            self.time = seen + 1

    def stamp(self) -> int:
        """The time for a message of our own; the clock moves on."""
        now = self.time
        self.time = now + 1
        return now
