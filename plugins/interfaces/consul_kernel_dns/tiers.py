"""Putting groups together that say the same, in tiers."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

from .pool import Group


class TieredGroups:
    """Groups by what makes them the same. One that comes again stays where it was first.

    Once somebody weighs, a group weighs as much as all that it stands for; else each counts once.
    """

    def __init__(self) -> None:
        self._groups: dict[Hashable, Group] = {}
        self._weights: dict[Hashable, float] = {}
        self._sizes: list[int] = []
        self._tier = -1
        self._is_even = True

    def __len__(self) -> int:
        return len(self._groups)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._groups

    def add(self, key: Hashable, group: Group, tier: int, weight: float) -> None:
        """Add a group of a tier; tiers come in their order."""
        self._is_even = self._is_even and weight == 1.0
        if key in self._groups:
            self._weights[key] += weight
            return
        if tier != self._tier:
            self._tier = tier
            self._sizes.append(0)
        self._sizes[-1] += 1
        self._groups[key] = group
        self._weights[key] = weight

    def groups(self) -> tuple[Group, ...]:
        """All of them, tier after tier."""
        if self._is_even:
            return tuple(self._groups.values())
        return tuple(dataclasses.replace(group, weight=self._weights[key]) for key, group in self._groups.items())

    def tiers(self) -> tuple[int, ...]:
        """How many are in each tier; empty for one tier in which all count the same."""
        return () if self._is_even and len(self._sizes) < 2 else tuple(self._sizes)
