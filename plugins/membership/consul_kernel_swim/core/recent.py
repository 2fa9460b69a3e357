"""What was seen lately: rings by Lamport time, so that a message is delivered once and an ancient one never."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from .serf_types import EVENT_BUFFER

_PER_TIME_MAX = 256
"""Different messages under one Lamport time; more than that is no accident, and they are dropped."""

_MASK = (1 << 64) - 1

ItemT = TypeVar("ItemT", bound=Hashable)


class _Slot(Generic[ItemT]):
    """The items of one Lamport time, and how large they are together."""

    __slots__ = ("hashed", "items", "lamport_time", "size")

    def __init__(self, lamport_time: int, item: ItemT, size: int) -> None:
        self.lamport_time = lamport_time
        self.items = {item: None}
        self.size = size
        self.hashed: int | None = None


class RecentRing(Generic[ItemT]):
    """512 slots; the slot of a time is its remainder, and a newer time takes the slot over.

    All items together are at most `size_max` large: for more, the oldest time is forgotten, and nothing up to it is
    admitted again.
    """

    def __init__(self, size_max: int = 0) -> None:
        self._slots: dict[int, _Slot[ItemT]] = {}
        self._size_max = size_max
        self._size = 0
        self.minimum_time = 0

    def admit(self, lamport_time: int, clock_time: int, item: ItemT, size: int = 0) -> bool:
        """Whether this is new; `clock_time` is the clock after it has witnessed `lamport_time`."""
        if lamport_time < self.minimum_time:
            return False
        if clock_time > EVENT_BUFFER and lamport_time < clock_time - EVENT_BUFFER:
            return False
        at = lamport_time % EVENT_BUFFER
        slot = self._slots.get(at)
        if slot is None or slot.lamport_time != lamport_time:
            self._size += size if slot is None else size - slot.size
            self._slots[at] = _Slot(lamport_time, item, size)
        elif item in slot.items or len(slot.items) >= _PER_TIME_MAX:
            return False
        else:
            slot.items[item] = None
            slot.hashed = None
            slot.size += size
            self._size += size
        while self._size > self._size_max:
            self._forget_oldest()
        return True

    def _forget_oldest(self) -> None:
        oldest = min(slot.lamport_time for slot in self._slots.values())
        self._size -= self._slots.pop(oldest % EVENT_BUFFER).size
        self.minimum_time = max(self.minimum_time, oldest + 1)

    def hash_since(self, lamport_time: int, hash_of: Callable[[int, ItemT], int]) -> int:
        """The sum, modulo 2^64, of the hashes of all items from this time on; those of a slot are kept."""
        total = 0
        for slot in self._slots.values():
            if slot.lamport_time >= lamport_time:
                if slot.hashed is None:
                    slot.hashed = sum(hash_of(slot.lamport_time, item) for item in slot.items)
                total += slot.hashed
        return total & _MASK

    def items(self) -> dict[int, list[ItemT]]:
        """All that is remembered, by Lamport time."""
        return {slot.lamport_time: list(slot.items) for slot in self._slots.values()}
