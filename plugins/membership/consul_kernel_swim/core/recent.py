"""What was seen lately: rings by Lamport time, so that a message is delivered once and an ancient one never."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from .serf_types import EVENT_BUFFER

_PER_TIME_MAX = 256
"""Different messages under one Lamport time; more than that is no accident, and they are dropped."""

ItemT = TypeVar("ItemT", bound=Hashable)


class RecentRing(Generic[ItemT]):
    """512 slots; the slot of a time is its remainder, and a newer time takes the slot over.

    `size_of` and `size_max` bound what all items are together: for more, the oldest time is forgotten, and nothing up
    to it is admitted again.
    """

    def __init__(self, size_of: Callable[[ItemT], int] | None = None, size_max: int = 0) -> None:
        self._slots: list[tuple[int, dict[ItemT, None]] | None] = [None] * EVENT_BUFFER
        self._size_of = size_of
        self._size_max = size_max
        self._size = 0
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
            self._forget(at)
            self._slots[at] = (lamport_time, {item: None})
        elif item in slot[1] or len(slot[1]) >= _PER_TIME_MAX:
            return False
        else:
            slot[1][item] = None
        self._account(item)
        return True

    def _account(self, item: ItemT) -> None:
        if self._size_of is None:
            return
        self._size += self._size_of(item)
        while self._size > self._size_max:
            oldest = min(slot[0] for slot in self._slots if slot is not None)
            self._forget(oldest % EVENT_BUFFER)
            self.minimum_time = max(self.minimum_time, oldest + 1)

    def _forget(self, at: int) -> None:
        slot, self._slots[at] = self._slots[at], None
        if slot is not None and self._size_of is not None:
            self._size -= sum(map(self._size_of, slot[1]))

    def items(self) -> dict[int, list[ItemT]]:
        """All that is remembered, by Lamport time."""
        return {slot[0]: list(slot[1]) for slot in self._slots if slot is not None}
