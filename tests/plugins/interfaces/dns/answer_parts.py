"""`dns_answer` parts for tests of what DNS makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from consul_kernel.contracts.dns_answer import Arrangement, Candidate, Lookup, Tier
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel_dns.weighted import WeightedAnswer


class Answers:
    """One part without a guard, and what it was asked."""

    is_default = False

    def __init__(
        self, arrange: Callable[[Lookup, Sequence[Candidate]], Sequence[Tier]], *, every_lookup: bool = False
    ) -> None:
        self._arrange = arrange
        self.every_lookup = every_lookup
        self.is_kept = True
        self.lookups: list[Lookup] = []

    def arrange(self, lookup: Lookup, instances: Sequence[CheckServiceNode]) -> Arrangement:
        self.lookups.append(lookup)
        tiers = self._arrange(lookup, [Candidate(instance) for instance in instances])
        return Arrangement([tier for tier in tiers if tier], self.is_kept)


def weighted() -> Answers:
    return Answers(WeightedAnswer().arrange)


def by_node(*first: str, **options: Any) -> Answers:
    """Instances on the nodes that are named stand first, in that order; the others after them."""

    def arrange(_lookup: Lookup, candidates: Sequence[Candidate]) -> Sequence[Tier]:
        named = [[one for one in candidates if one.instance.node.node == node] for node in first]
        return [*named, [one for one in candidates if one.instance.node.node not in first]]

    return Answers(arrange, **options)
