"""What answers to one question are made of, for as long as the catalog says the same.

An answer shows its instances in random order. Making a message anew for each asker would cost more than all else,
so a bounded number of orders is written once: rotations of a few random orders. Every instance stands in every
place equally often among them, so load is spread as evenly as if each answer were shuffled.

Where instances weigh differently, or stand in tiers, rotations won't do: each message shows an order that was drawn for
it. So that what chance gave to a few dozen orders doesn't last, every few answers one message is dropped and made anew.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import Node

from .pool import Group, Pool

Found = Sequence[CheckServiceNode] | Node | None
"""What a read of the catalog gave."""

_MOST_VARIANTS = 64
MOST_KEPT_BYTES = 1232
"""Larger messages are not kept."""
_SHOWN_PER_DRAW = 8
"""How often one drawn order is shown, on average."""
ALWAYS = -1


class Material:
    """What was found, the pool made of it, and messages made of that.

    `second` is the time that the messages show (in the serial number of an SOA record), ALWAYS for none.
    """

    __slots__ = (
        "_count",
        "_order",
        "_rng",
        "_rotations",
        "_shown",
        "found",
        "messages",
        "needs_chase",
        "pool",
        "second",
        "was_shown",
        "weight",
    )

    def __init__(self, found: Found, pool: Pool | None) -> None:
        self.found = list(found) if isinstance(found, Sequence) else found
        self.pool = pool
        self.needs_chase = pool is not None and pool.needs_chase
        self.second = ALWAYS
        self.was_shown = False
        groups = () if pool is None else pool.groups
        self._rotations = max(1, len(groups))
        count = 0 if self._rotations > _MOST_VARIANTS else _MOST_VARIANTS // self._rotations * self._rotations
        if len(groups) < 2:
            count = 0 if pool is not None and len(pool.aliases) > 1 and not groups else 1
        self._count = count
        self.messages: list[bytes | None] = []
        """Messages by variant, None for one that was not asked for yet; empty when none are kept."""
        self._order: list[Group] = []
        self._rng: random.Random | None = None
        """Draws the orders, where each message has its own."""
        self._shown = 0
        self.weight = len(groups) + count

    def keep_messages(self, rng: random.Random) -> None:
        """Begin to keep messages: worth it only for a question that is asked again."""
        self.messages = [None] * self._count
        if self.pool is not None and self.pool.tiers:
            self._rng = rng
        elif self.pool is not None and self._count > 1:
            for _ in range(self._count // self._rotations):
                self._order += rng.sample(self.pool.groups, self._rotations)

    def variant(self, at: int, most: int) -> tuple[Sequence[Group], int]:
        """The groups that variant `at` shows, at most `most`, and how many there would be without that bound."""
        pool = self.pool
        if pool is None:
            return (), 0
        if self._count < 2:
            return (pool.groups, len(pool.groups)) if pool.groups else (pool.aliases, len(pool.aliases))
        if self._rng is not None:
            return pool.draw(self._rng, most)
        start, rotation = at - at % self._rotations, at % self._rotations
        order = self._order[start : start + self._rotations]
        total = pool.most_groups
        return (order[rotation:] + order[:rotation])[: min(total, most)], total

    def age(self) -> None:
        """One more answer is shown: of orders that were drawn, one may be due."""
        if self._rng is None:
            return
        self._shown += 1
        if self._shown % _SHOWN_PER_DRAW == 0:
            self.messages[self._shown // _SHOWN_PER_DRAW % self._count] = None

    def forget(self) -> None:
        """Drop the messages, which show another time."""
        self.messages = [None] * len(self.messages)
