"""A disk whose writes take time, and which tears and forgets what was not flushed when its owner crashes."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .timeline import Timeline

Change = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpeed:
    """How long a write takes, in ms: evenly from `write_ms`, and evenly from `slow_ms` for the share `slow_rate`."""

    write_ms: tuple[int, int] = (0, 6)
    slow_rate: float = 0.0
    slow_ms: tuple[int, int] = (50, 300)


class Disk:
    """Writes one after the other, in the order in which they were begun. `speed` is that of the moment.

    A write is a sequence of changes to what the owner holds as durable: they are made when the write is flushed, and
    its `done` is called then. A crash makes any beginning of all that is under way durable: one write may be torn
    between two of its changes, those behind it are forgotten, and nobody is told. A change that is torn within itself
    is none: checksums are to tell, and whoever owns a format tests that they do.
    """

    def __init__(self, timeline: Timeline, rng: random.Random, speed: DiskSpeed | None = None) -> None:
        self.speed = speed or DiskSpeed()
        self._timeline = timeline
        self._rng = rng
        self._under_way: deque[tuple[Sequence[Change], Callable[[], object] | None]] = deque()
        self._last_due_ms = 0
        self._hangs_until_ms = 0
        self._appointments = 0
        """Which ones count: those made before a crash, or before the disk was mended, do not."""

    def __len__(self) -> int:
        """How many writes are under way."""
        return len(self._under_way)

    def write(self, changes: Sequence[Change], done: Callable[[], object] | None = None) -> None:
        """Begin a write."""
        speed, rng = self.speed, self._rng
        low, high = speed.write_ms
        if speed.slow_rate and rng.random() < speed.slow_rate:
            low, high = speed.slow_ms
        due_ms = max(self._timeline.now_ms, self._last_due_ms) + low + int(rng.random() * (high - low + 1))
        self._last_due_ms = due_ms
        self._under_way.append((changes, done))
        self._timeline.at(due_ms, self._flush, self._appointments)

    def _flush(self, appointments: int) -> None:
        """One write is due: the oldest, whichever it was that made the appointment."""
        if appointments != self._appointments:
            return
        if self._timeline.now_ms < self._hangs_until_ms:
            self._timeline.at(self._hangs_until_ms, self._flush, appointments)
            return
        changes, done = self._under_way.popleft()
        for change in changes:
            change()
        if done is not None:
            done()

    def hang(self, duration_ms: int) -> None:
        """Finish nothing for a while."""
        self._hangs_until_ms = max(self._hangs_until_ms, self._timeline.now_ms + duration_ms)

    def mend(self) -> None:
        """Hang no longer: what is under way is finished now."""
        self._hangs_until_ms = self._last_due_ms = self._timeline.now_ms
        self._appointments += 1
        for _ in self._under_way:
            self._timeline.after(0, self._flush, self._appointments)

    def crash(self) -> None:
        """The owner ended, or the power did."""
        changes = [change for write, _ in self._under_way for change in write]
        self._under_way.clear()
        self._appointments += 1
        self._last_due_ms = 0
        for change in changes[: self._rng.randint(0, len(changes))]:
            change()
