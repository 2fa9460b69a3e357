"""Lamport clocks (Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978)."""

from __future__ import annotations


class LamportClock:
    """Counts up; a time seen elsewhere is always passed."""

    __slots__ = ("time",)

    def __init__(self) -> None:
        self.time = 1

    def witness(self, seen: int) -> None:
        """After this the clock is ahead of `seen`."""
        if seen >= self.time:
            self.time = seen + 1

    def stamp(self) -> int:
        """The time for a message of our own; the clock moves on."""
        now = self.time
        self.time = now + 1
        return now
