"""What goes wrong in a run: a plan drawn from a seed, and the nemesis that carries it out."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .timeline import Timeline

Undo = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, from `at_ms` for `length_ms`. Its own seed picks the victims, so that a plan from
    which a fault was taken away keeps the rest of its course.
    """

    at_ms: int
    length_ms: int
    kind: str
    seed: int

    def shifted(self, by_ms: int) -> Fault:
        """The same fault so much later."""
        return Fault(at_ms=self.at_ms + by_ms, length_ms=self.length_ms, kind=self.kind, seed=self.seed)

    def __str__(self) -> str:
        return f"{self.kind} at {self.at_ms} ms for {self.length_ms} ms"


Strike = Callable[[Fault, random.Random], Undo | None]
"""Makes one fault happen; returns what ends it, or None when that needs nothing."""


def draw_plan(
    rng: random.Random,
    kinds: Sequence[str],
    *,
    from_ms: int,
    until_ms: int,
    every_ms: int,
    length_ms: tuple[int, int],
) -> tuple[Fault, ...]:
    """Faults of random kinds, one every `every_ms` on average, which begin and end between `from_ms` and `until_ms`."""
    plan: list[Fault] = []
    at_ms = from_ms + int(rng.expovariate(1 / every_ms))
    while kinds and at_ms < until_ms:
        length = min(rng.randint(*length_ms), until_ms - at_ms)
        plan.append(Fault(at_ms=at_ms, length_ms=length, kind=rng.choice(kinds), seed=rng.getrandbits(48)))
        at_ms += 1 + int(rng.expovariate(1 / every_ms))
    return tuple(plan)


class Nemesis:
    """Strikes as the plan says. `struck` counts the faults by kind."""

    def __init__(self, timeline: Timeline, plan: Sequence[Fault], strikes: Mapping[str, Strike]) -> None:
        self._timeline = timeline
        self._strikes = strikes
        self._undo: dict[Fault, Undo] = {}
        self._active = True
        self.struck: dict[str, int] = {}
        for fault in plan:
            timeline.at(fault.at_ms, self._strike, fault)

    def _strike(self, fault: Fault) -> None:
        if not self._active:
            return
        self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1
        undo = self._strikes[fault.kind](fault, random.Random(fault.seed))
        if undo is not None:
            self._undo[fault] = undo
            self._timeline.at(fault.at_ms + fault.length_ms, self._end, fault)

    def _end(self, fault: Fault) -> None:
        undo = self._undo.pop(fault, None)
        if undo is not None:
            undo()

    def stop(self) -> None:
        """Nothing goes wrong any more: what is under way ends now."""
        self._active = False
        for fault in list(self._undo):
            self._end(fault)
