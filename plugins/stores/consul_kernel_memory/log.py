"""The log in memory."""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import HardState, LogEntry

_TRIM_ENTRIES = 256
"""A compacted prefix is cut off the list only from this length on: cutting moves all that follow."""


class MemoryLog:
    """A `LogStore` on one list. `_entries[_skip]` is the first entry kept."""

    def __init__(self) -> None:
        self._entries: list[LogEntry] = []
        self._skip = 0
        self._base_index = 0
        self._base_term = 0
        self._last = 0
        self._hard_state = HardState()
        self._closed = False

    @property
    def first_index(self) -> int:
        return self._base_index + 1

    @property
    def last_index(self) -> int:
        return self._last

    @property
    def hard_state(self) -> HardState:
        return self._hard_state

    def term(self, index: int) -> int | None:
        base = self._base_index
        if base < index <= self._last:
            return self._entries[index - base - 1 + self._skip].term
        return self._base_term if index == base else None

    def entries(self, first: int, last: int, max_bytes: int) -> Sequence[LogEntry]:
        if first <= self._base_index:
            raise StoreError(f"log entry {first} is not kept any more: the first is {self._base_index + 1}")
        offset = self._skip - self._base_index - 1
        found = self._entries[first + offset : max(min(last, self._last) + 1, first) + offset]
        size = 0
        for count, entry in enumerate(found):
            size += len(entry.data)
            if size > max_bytes and count:
                return found[:count]
        return found

    async def append(self, entries: Sequence[LogEntry], hard_state: HardState | None = None) -> None:
        self._check_open()
        if entries:
            self._extend(entries)
        if hard_state is not None:
            self._hard_state = hard_state

    async def compact(self, index: int) -> None:
        self._check_open()
        index = min(index, self._last)
        if index <= self._base_index:
            return
        term = self.term(index)
        self._skip += index - self._base_index
        self._base_index, self._base_term = index, term or 0
        if self._skip >= _TRIM_ENTRIES:
            del self._entries[: self._skip]
            self._skip = 0

    async def reset(self, index: int, term: int) -> None:
        self._check_open()
        self._entries, self._skip = [], 0
        self._base_index, self._base_term, self._last = index, term, index

    def close(self) -> None:
        """Refuse everything from now on."""
        self._closed = True
        self._entries = []
        self._skip = 0
        self._base_index = self._last

    def _extend(self, entries: Sequence[LogEntry]) -> None:
        first = entries[0].index
        if not self._base_index < first <= self._last + 1:
            raise StoreError(f"an append at {first} does not join the log {self.first_index} to {self._last}")
        for index, entry in enumerate(entries, first):
            if entry.index != index:
                raise StoreError(f"entries to append are not contiguous: {entry.index} where {index} was due")
        del self._entries[first - self._base_index - 1 + self._skip :]
        self._entries.extend(entries)
        self._last = first + len(entries) - 1

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
