"""The chosen `dns_answer` parts as one, whatever any of them does.

A part that raises, or gives what is no arrangement, is passed over, as if it were not there. One that takes longer than
`SLOW_S` is heard, since the time is spent. Both are counted, and told to the log once in `ASIDE_S`. A part that does so
`MOST_FAULTS` times in a row is not asked for `ASIDE_S`, so that a broken one costs next to nothing.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence

from consul_kernel.contracts.dns_answer import (
    DEFAULT_ANSWERS,
    EVERY_LOOKUP,
    MAX_ADDED,
    Arrangement,
    Candidate,
    DnsAnswer,
    DnsAnswers,
    Lookup,
    Tier,
)
from consul_kernel.contracts.metrics import Metrics
from consul_kernel.structs.health import CheckServiceNode

logger = logging.getLogger(__name__)

SLOW_S = 0.01
MOST_FAULTS = 3
ASIDE_S = 30.0
_NEVER_S = -math.inf


class GuardedAnswer:
    """One part, kept from doing harm."""

    def __init__(self, name: str, part: DnsAnswer, metrics: Metrics, clock: Callable[[], float]) -> None:
        self.name = name
        self._part = part
        self._clock = clock
        labels = (("plugin", name),)
        self._failed = metrics.counter("dns.answer.failed", labels)
        self._slow = metrics.counter("dns.answer.slow", labels)
        self._faults = 0
        self._aside_until_s = _NEVER_S
        self._quiet_until_s = _NEVER_S

    def arrange(self, lookup: Lookup, tier: Tier) -> Sequence[Tier] | None:
        """What the part makes of one tier; None where it is not asked, or failed."""
        begun_s = self._clock()
        if begun_s < self._aside_until_s:
            return None
        try:
            tiers = _checked(self._part.arrange(lookup, tier), len(tier) + MAX_ADDED)
        except Exception as error:  # noqa: BLE001 (a plugin may raise anything; it is logged)
            self._failed.add()
            self._note(f"failed, and the answer is the default one: {type(error).__name__}: {error}", error)
            return None
        taken_s = self._clock() - begun_s
        if taken_s > SLOW_S:
            self._slow.add()
            self._note(f"held up all answers for {taken_s * 1000:.0f} ms", None)
        else:
            self._faults = 0
        return tiers

    def _note(self, text: str, error: Exception | None) -> None:
        """Count a fault; log it, unless one was logged a moment ago."""
        now_s = self._clock()
        self._faults += 1
        if self._faults >= MOST_FAULTS:
            self._aside_until_s = now_s + ASIDE_S
            text += f"; it is not asked for {ASIDE_S:.0f} s"
        if now_s >= self._quiet_until_s or self._faults == MOST_FAULTS:
            self._quiet_until_s = now_s + ASIDE_S
            logger.error('dns_answer "%s" %s', self.name, text, exc_info=error)


def _checked(tiers: Sequence[Tier], most: int) -> list[list[Candidate]]:
    """The tiers without empty ones, `most` candidates in all. Raises TypeError or ValueError for what are none."""
    kept: list[list[Candidate]] = []
    left = most
    for tier in tiers:
        candidates = list(tier[:left])
        for candidate in candidates:
            if not isinstance(candidate, Candidate):
                raise TypeError(f"a {type(candidate).__name__} stands where a Candidate is expected")
            if not isinstance(candidate.instance, CheckServiceNode):
                raise TypeError(f"a Candidate with a {type(candidate.instance).__name__} for its instance")
            if not (math.isfinite(candidate.weight) and candidate.weight >= 0):
                raise ValueError(f"{candidate.weight} is no weight")
        left -= len(candidates)
        if candidates:
            kept.append(candidates)
    return kept


class ChosenAnswers:
    """All parts, each asked about every tier of those before it."""

    is_default = False

    def __init__(self, parts: Sequence[GuardedAnswer], *, every_lookup: bool) -> None:
        self._parts = parts
        self.every_lookup = every_lookup

    def arrange(self, lookup: Lookup, instances: Sequence[CheckServiceNode]) -> Arrangement:
        """What the parts make of these instances, in the order of the agent file."""
        tiers: list[Tier] = [[Candidate(instance) for instance in instances]]
        is_kept = True
        for part in self._parts:
            arranged: list[Tier] = []
            for tier in tiers:
                heard = part.arrange(lookup, tier)
                is_kept = is_kept and heard is not None
                arranged += [tier] if heard is None else heard
            tiers = arranged
        return Arrangement([tier for tier in tiers if tier], is_kept)


def guard(
    parts: Sequence[tuple[str, DnsAnswer, frozenset[str]]],
    metrics: Metrics,
    clock: Callable[[], float] = time.perf_counter,
) -> DnsAnswers:
    """Parts with their names and capabilities, as one."""
    if not parts:
        return DEFAULT_ANSWERS
    return ChosenAnswers(
        [GuardedAnswer(name, part, metrics, clock) for name, part, _ in parts],
        every_lookup=any(EVERY_LOOKUP in capabilities for _, _, capabilities in parts),
    )
