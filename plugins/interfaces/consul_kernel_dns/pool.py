"""What a question can be answered with, before chance and size choose from it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from .wire import Rcode, Record


@dataclass(frozen=True, slots=True)
class Group:
    """Records that stand or fall together: those of one instance.

    `chase` is a name whose own addresses belong to the group too, when somebody resolves it; "" for none. `weight` is
    how often the group stands first, beside others of its tier.
    """

    answers: tuple[Record, ...]
    extras: tuple[Record, ...] = ()
    chase: str = ""
    weight: float = 1.0


def weighted_order(groups: Sequence[Group], rng: random.Random) -> list[Group]:
    """All groups, drawn one after the other, each time by the weights of those that are left; weight 0 comes last.

    Each has a clock that runs as fast as it weighs, and they stand in the order in which these ring (Efraimidis and
    Spirakis, "Weighted random sampling with a reservoir", 2006).
    """
    if len(groups) < 2:
        return list(groups)
    rings = [
        (group.weight <= 0, rng.expovariate(group.weight or 1.0), rng.random(), at) for at, group in enumerate(groups)
    ]
    rings.sort()
    return [groups[at] for _, _, _, at in rings]


@dataclass(frozen=True, slots=True)
class Pool:
    """All groups of an answer. `aliases` are CNAMEs, of which one is shown when there is no address.

    `limit` bounds the groups that one answer shows, 0 for no bound. A pool that `keeps_order` is drawn from its front.
    `tiers` are numbers of groups: those of the first tier stand before those of the second, however chance orders each.
    Empty, there is one tier, in which all groups weigh the same. Without groups they are numbers of aliases.
    """

    groups: tuple[Group, ...] = ()
    aliases: tuple[Group, ...] = ()
    limit: int = 0
    keeps_order: bool = False
    tiers: tuple[int, ...] = ()

    @property
    def needs_chase(self) -> bool:
        """Whether an answer is complete only with other names' addresses."""
        return any(group.chase for group in self.groups or self.aliases)

    @property
    def most_groups(self) -> int:
        """How many groups one answer may show."""
        return min(len(self.groups), self.limit) if self.limit > 0 else len(self.groups)

    def draw(self, rng: random.Random, most: int) -> tuple[Sequence[Group], int]:
        """Groups, in random order where none is kept, at most `most` unless they are alone; and how many without it."""
        if not self.groups:
            if not self.aliases:
                return (), 0
            return (self.aliases[0] if self.keeps_order else self._any_alias(rng),), 1
        if len(self.groups) == 1:
            return self.groups, 1
        total = self.most_groups
        if self.keeps_order:
            return self.groups[: min(total, most)], total
        if self.tiers:
            return self._draw_tiers(rng, min(total, most)), total
        return rng.sample(self.groups, min(total, most)), total

    def _any_alias(self, rng: random.Random) -> Group:
        if not self.tiers:
            return rng.choice(self.aliases)
        return weighted_order(self.aliases[: self.tiers[0]], rng)[0]

    def _draw_tiers(self, rng: random.Random, count: int) -> list[Group]:
        """The first groups of a new order of every tier."""
        drawn: list[Group] = []
        start = 0
        for size in self.tiers:
            if len(drawn) >= count:
                break
            drawn += weighted_order(self.groups[start : start + size], rng)
            start += size
        return drawn[:count]


@dataclass(slots=True)
class Reply:
    """The sections of an answer, before it is made to fit."""

    rcode: Rcode = Rcode.NOERROR
    answers: list[Record] = field(default_factory=list)
    authority: list[Record] = field(default_factory=list)
    extras: list[Record] = field(default_factory=list)
    is_authoritative: bool = True
    is_drawn_short: bool = False
    """More answers exist than were drawn, because a UDP answer would show no more anyway."""
