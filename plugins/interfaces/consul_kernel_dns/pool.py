"""What a question can be answered with, before chance and size choose from it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from .wire import Rcode, Record


@dataclass(frozen=True, slots=True)
class Group:
    """Records that stand or fall together: those of one instance.

    `chase` is a name whose own addresses belong to the group too, when somebody resolves it; "" for none.
    """

    answers: tuple[Record, ...]
    extras: tuple[Record, ...] = ()
    chase: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """All groups of an answer. `aliases` are CNAMEs, of which one is shown when there is no address.

    `limit` bounds the groups that one answer shows, 0 for no bound. A pool that `keeps_order` is drawn from its front.
    """

    groups: tuple[Group, ...] = ()
    aliases: tuple[Group, ...] = ()
    limit: int = 0
    keeps_order: bool = False

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
            return (self.aliases[0] if self.keeps_order else rng.choice(self.aliases),), 1
        if len(self.groups) == 1:
            return self.groups, 1
        total = self.most_groups
        if self.keeps_order:
            return self.groups[: min(total, most)], total
        return rng.sample(self.groups, min(total, most)), total


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
