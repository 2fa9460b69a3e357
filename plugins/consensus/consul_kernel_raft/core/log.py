"""The log as the algorithm sees it: entries in memory, some not durable yet, on top of the LogStore.

Owns: the tail. Reads but never changes: the store, which the driver writes when a `Write` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import HardState, LogEntry

from .messages import SnapshotPoint
from .settings import Limits


class LogReader(Protocol):
    """The part of LogStore that the algorithm reads; every call answers at once."""

    @property
    def first_index(self) -> int: ...

    @property
    def last_index(self) -> int: ...

    @property
    def hard_state(self) -> HardState: ...

    def term(self, index: int) -> int | None: ...

    def entries(self, first: int, last: int, max_bytes: int) -> Sequence[LogEntry]: ...


class RaftLog:
    """Entries up to `last_index`; those up to `stable_index` are durable, those after it only in the tail.

    `snapshot_index` and `snapshot_term` are where the newest snapshot ends (0, 0: there is none).
    """

    def __init__(self, store: LogReader, snapshot_index: int, snapshot_term: int, limits: Limits) -> None:
        self.store = store
        self.snapshot_index = snapshot_index
        self.snapshot_term = snapshot_term
        self.pending_snapshot: SnapshotPoint | None = None
        last = max(store.last_index, snapshot_index)
        self.stable_index = last
        self._limits = limits
        self._offset = last + 1
        """Index of the first entry of the tail; what is before it is read from the store."""
        self._tail: list[LogEntry] = []
        self._tail_bytes = 0
        self._handed_index = last
        """Entries up to here are durable or in the write under way."""
        self._writing_index = 0
        """The last entry of the write under way that is still part of the log."""

    @property
    def first_index(self) -> int:
        """The first entry that can still be read."""
        if self.pending_snapshot is not None:
            return self._offset
        return min(self.store.first_index, self._offset)

    @property
    def last_index(self) -> int:
        return self._offset + len(self._tail) - 1

    @property
    def last_term(self) -> int:
        return self._tail[-1].term if self._tail else self.term(self.last_index) or 0

    @property
    def unwritten(self) -> bool:
        """Whether there is something that no write has taken up."""
        return self.pending_snapshot is not None or self._handed_index < self.last_index

    def term(self, index: int) -> int | None:
        """The term of an entry; 0 before the first; None where it is not known (any more or yet)."""
        if index >= self._offset:
            position = index - self._offset
            return self._tail[position].term if position < len(self._tail) else None
        if index == self.snapshot_index:
            return self.snapshot_term
        if index == 0:
            return 0
        if self.pending_snapshot is not None:
            return None
        return self.store.term(index)

    def entries(self, first: int, last: int, max_count: int, max_bytes: int) -> Sequence[LogEntry]:
        """Entries from `first` to `last`, cut after either bound, but at least one where there is one.

        Raises StoreError when `first` is not kept any more.
        """
        last = min(last, first + max_count - 1, self.last_index)
        if last < first:
            return ()
        if first < self._offset:
            if self.pending_snapshot is not None:
                raise StoreError(f"entry {first} is covered by a snapshot that is being installed")
            return self.store.entries(first, min(last, self._offset - 1), max_bytes)
        start = first - self._offset
        chosen = self._tail[start : start + last - first + 1]
        total = 0
        for count, entry in enumerate(chosen):
            total += len(entry.data)
            if total > max_bytes and count:
                return chosen[:count]
        return chosen

    def matches(self, index: int, term: int) -> bool:
        """Whether the log holds this entry (log matching property, §5.3)."""
        return self.term(index) == term

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a log that ends so is at least as up-to-date as this one (§5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def last_index_not_after_term(self, index: int, term: int) -> int:
        """The last index, at most `index`, whose term is at most `term` or unknown: where logs may still match."""
        index = min(index, self.last_index)
        while index > 0:
            here = self.term(index)
            if here is None or here <= term:
                return index
            index -= 1
        return 0

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries that follow `last_index`."""
        self._tail.extend(entries)
        self._tail_bytes += sum(len(entry.data) for entry in entries)

    def truncate_from(self, index: int) -> None:
        """Drop this entry and all after it; the store learns of it by the entries that replace them."""
        if index >= self._offset:
            del self._tail[index - self._offset :]
        else:
            self._tail.clear()
            self._offset = index
        self._tail_bytes = sum(len(entry.data) for entry in self._tail)
        self.stable_index = min(self.stable_index, index - 1)
        self._handed_index = min(self._handed_index, index - 1)
        self._writing_index = min(self._writing_index, index - 1)

    def restore(self, snapshot: SnapshotPoint) -> None:
        """Replace everything by a snapshot, which the next write installs."""
        self._tail.clear()
        self._tail_bytes = 0
        self._offset = snapshot.index + 1
        self._handed_index = snapshot.index
        self._writing_index = 0
        self.stable_index = 0
        self.snapshot_index, self.snapshot_term = snapshot.index, snapshot.term
        self.pending_snapshot = snapshot

    def snapshot_saved(self, index: int, term: int) -> None:
        """A snapshot of what was applied exists; the entries that it covers may vanish from the store."""
        if index > self.snapshot_index:
            self.snapshot_index, self.snapshot_term = index, term

    def take_unwritten(self) -> Sequence[LogEntry]:
        """Hand the entries that no write has taken up to one."""
        entries = self._tail[self._handed_index + 1 - self._offset :] if self._handed_index < self.last_index else ()
        self._handed_index = self._writing_index = self.last_index
        return entries

    def written(self, snapshot: SnapshotPoint | None) -> None:
        """The write under way is durable, except what was truncated or replaced by a snapshot meanwhile."""
        if snapshot is not None and snapshot is self.pending_snapshot:
            self.pending_snapshot = None
            self.stable_index = max(self.stable_index, snapshot.index)
        self.stable_index = max(self.stable_index, self._writing_index)
        self._writing_index = 0

    def trim(self, applied_index: int) -> None:
        """Keep the tail within its bounds by dropping what is durable, applied first."""
        limits = self._limits
        if len(self._tail) <= 2 * limits.tail_entries_max and self._tail_bytes <= limits.tail_bytes_max:
            return
        keep_from = self.last_index - limits.tail_entries_max + 1
        if self._tail_bytes > limits.tail_bytes_max:
            keep_from = max(keep_from, applied_index + 1)
        drop = min(keep_from, self.stable_index + 1) - self._offset
        if drop > 0 and self.pending_snapshot is None:
            self._tail_bytes -= sum(len(entry.data) for entry in self._tail[:drop])
            del self._tail[:drop]
            self._offset += drop
