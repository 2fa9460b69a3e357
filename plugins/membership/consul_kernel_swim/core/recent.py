"""What was seen lately: rings by Lamport time, so that a message is delivered once and an ancient one never."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from .serf_messages import EVENT_BUFFER

_PER_TIME_MAX = 256
"""Different messages under one Lamport time; more than that is no accident, and they are dropped."""

ItemT = TypeVar("ItemT", bound=Hashable)


class RecentRing(Generic[ItemT]):
    """512 slots; the slot of a time is its remainder, and a newer time takes the slot over."""

    def __init__(self) -> None:
        self._slots: list[tuple[int, dict[ItemT, None]] | None] = [None] * EVENT_BUFFER
        self.minimum_time = 0

    def admit(self, lamport_time: int, clock_time: int, item: ItemT) -> bool:
        """Whether this is new; `clock_time` is the clock after it has witnessed `lamport_time`."""
        if lamport_time < self.minimum_time:
            return False
        if clock_time > EVENT_BUFFER and lamport_time < clock_time - EVENT_BUFFER:
            return False
        at = lamport_time % EVENT_BUFFER
        slot = self._slots[at]
        if slot is None or slot[0] != lamport_time:
            self._slots[at] = (lamport_time, {item: None})
            return True
        seen = slot[1]
        if item in seen or len(seen) >= _PER_TIME_MAX:
            return False
        seen[item] = None
        return True

    def items(self) -> dict[int, list[ItemT]]:
        """All that is remembered, by Lamport time."""
        return {slot[0]: list(slot[1]) for slot in self._slots if slot is not None}
