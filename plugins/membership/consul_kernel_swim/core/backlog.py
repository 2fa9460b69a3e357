"""Work that is too long for one step, done in turns.

A job is a generator that yields whenever it may be interrupted, and says by `spend` what it has done. A turn ends
after so many units of work, not after some time: what a step does depends on its inputs alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import Final, TypeVar

from .environment import Environment

UNITS_PER_TURN: Final = 256
"""A unit is about 8 µs: a turn takes some 2 ms."""
_JOBS_MAX: Final = 256

ResultT = TypeVar("ResultT")
Job = Generator[None, None, None]


class Backlog:
    """Jobs take turns, whoever has waited longest first, one turn a step. `weight_max` bounds what they hold.

    A job should not raise; one that does is dropped, the others go on.
    """

    def __init__(self, env: Environment, weight_max: int) -> None:
        self._env = env
        self._weight_max = weight_max
        self._weight = 0
        self._jobs: deque[tuple[Job, int]] = deque()
        self._units = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    def start(self, job: Job, weight: int) -> bool:
        """Begin a job, within this step if no other waits; False when too much is waiting, and it is not begun."""
        if self._jobs and (len(self._jobs) >= _JOBS_MAX or self._weight + weight > self._weight_max):
            job.close()
            return False
        self._weight += weight
        self._jobs.append((job, weight))
        if len(self._jobs) == 1:
            self._env.after(0, self._turn)
        return True

    def spend(self, units: float) -> bool:
        """Count what was done; whether the turn is over."""
        self._units -= units
        return self._units <= 0

    def paced(self, work: Generator[None, None, ResultT], units: float) -> Generator[None, None, ResultT]:
        """Work that yields after each piece of `units`, as work that yields at the end of a turn."""
        while True:
            try:
                next(work)
            except StopIteration as end:
                result: ResultT = end.value
                return result
            if self.spend(units):
                yield

    def _turn(self) -> None:
        job, weight = self._jobs[0]
        self._units = UNITS_PER_TURN
        is_over = True
        try:
            with suppress(StopIteration):
                next(job)
                is_over = False
        finally:
            if is_over:
                self._jobs.popleft()
                self._weight -= weight
            else:
                self._jobs.rotate(-1)
            if self._jobs:
                self._env.after(0, self._turn)
