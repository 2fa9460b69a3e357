"""Tables in memory: a hash table for reads, a sorted list of keys for ranges.

Writes change the tables in place. Before a key changes for the first time, its old value (the *pre-image*,
None for "was not there") is saved in the open batch and in every open snapshot. A batch that fails is undone by
putting its pre-images back; a snapshot, and the store itself while a batch is open, is read by looking at
the pre-images first. So a snapshot costs nothing to take, and as much memory as was changed since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from sortedcontainers import SortedDict

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import MAX_KEY_BYTES

from .preimages import PreImages

Tables = dict[str, SortedDict]
_replace = dict.__setitem__


def read_range(
    tables: Tables, table: str, start: bytes, stop: bytes | None, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Pairs of the live table, in order; invalid once the table changes."""
    rows = tables.get(table)
    if not rows:
        return
    for key in rows.irange(start, stop, inclusive=(True, False), reverse=reverse):
        yield key, rows[key]


def table_names(tables: Tables) -> list[str]:
    """Names of the live tables that hold a key, sorted."""
    return sorted(name for name, rows in tables.items() if rows)


class MemoryStateSnapshot:
    """A view of the tables as they were when it was taken."""

    def __init__(self, owner: MemoryState, before: PreImages) -> None:
        self._owner: MemoryState | None = owner
        self._before = before

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._before.get(self._live(), table, key)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._before.range(self._live(), table, start, stop, reverse)

    def tables(self) -> Sequence[str]:
        return self._before.tables(self._live())

    def close(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.forget(self._before)
            self._before = PreImages()

    def _live(self) -> Tables:
        if self._owner is None:
            raise StoreError("the snapshot of the state is closed")
        return self._owner.live


class MemoryStateWriter:
    """The open batch. Unusable once its block has ended."""

    def __init__(self, tables: Tables, undo: PreImages, views: list[PreImages]) -> None:
        self._tables = tables
        self._undo = undo
        self._views = views
        self._opened: dict[str, tuple[SortedDict, dict[bytes, bytes | None]]] = {}
        self._open = True

    def get(self, table: str, key: bytes) -> bytes | None:
        rows = self._tables.get(table)
        return None if rows is None else rows.get(key)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return read_range(self._tables, table, start, stop, reverse)

    def tables(self) -> Sequence[str]:
        return table_names(self._tables)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise StoreError(f"a key has 1 to {MAX_KEY_BYTES} bytes, this one {len(key)}")
        rows, undo = self._opened.get(table) or self._open_table(table)
        before = rows.get(key)
        undo.setdefault(key, before)
        for view in self._views:
            view.save(table, key, before)
        if before is None:
            rows[key] = value
        else:
            # The key has its place already: past SortedDict, which would look for it.
            _replace(rows, key, value)

    def delete(self, table: str, key: bytes) -> bool:
        rows, undo = self._opened.get(table) or self._open_table(table)
        before = rows.get(key)
        if before is None:
            return False
        undo.setdefault(key, before)
        for view in self._views:
            view.save(table, key, before)
        del rows[key]
        return True

    def clear(self) -> None:
        self._check_open()
        for table, rows in self._tables.items():
            self._undo.save_all(table, rows)
            for view in self._views:
                view.save_all(table, rows)
            rows.clear()

    def end(self) -> None:
        """Refuse writes from now on."""
        self._open = False
        self._opened.clear()

    def _open_table(self, table: str) -> tuple[SortedDict, dict[bytes, bytes | None]]:
        """A table's rows and their pre-images, which stay the same objects while the batch is open."""
        self._check_open()
        rows = self._tables.get(table)
        if rows is None:
            rows = self._tables[table] = SortedDict()
        self._opened[table] = opened = (rows, self._undo.rows(table))
        return opened

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError("the batch has ended")


class _Batch(AbstractContextManager[MemoryStateWriter]):
    """The `with` block of a batch."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def __enter__(self) -> MemoryStateWriter:
        return self._state.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.end(undo=kind is not None)


class MemoryState:
    """A `StateStore` on dicts."""

    def __init__(self) -> None:
        self.live: Tables = {}
        self._views: list[PreImages] = []
        self._batch: PreImages | None = None
        self._writer: MemoryStateWriter | None = None
        self._closed = False

    def get(self, table: str, key: bytes) -> bytes | None:
        if self._batch is not None:
            return self._batch.get(self.live, table, key)
        rows = self.live.get(table)
        return None if rows is None else rows.get(key)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        if self._batch is not None:
            return self._batch.range(self.live, table, start, stop, reverse)
        return read_range(self.live, table, start, stop, reverse)

    def tables(self) -> Sequence[str]:
        if self._batch is not None:
            return self._batch.tables(self.live)
        return table_names(self.live)

    def write(self) -> AbstractContextManager[MemoryStateWriter]:
        return _Batch(self)

    def snapshot(self) -> MemoryStateSnapshot:
        self._check_open()
        before = PreImages() if self._batch is None else self._batch.copy()
        self._views.append(before)
        return MemoryStateSnapshot(self, before)

    def begin(self) -> MemoryStateWriter:
        """Open the batch."""
        self._check_open()
        if self._batch is not None:
            raise StoreError("a batch is already open: one at a time")
        self._batch = PreImages()
        self._writer = MemoryStateWriter(self.live, self._batch, self._views)
        return self._writer

    def end(self, *, undo: bool) -> None:
        """Close the batch, putting the old values back where it is undone."""
        batch, self._batch = self._batch, None
        writer, self._writer = self._writer, None
        if batch is None or writer is None:
            return
        writer.end()
        if undo:
            batch.restore(self.live)

    def forget(self, images: PreImages) -> None:
        """Save no more pre-images there."""
        # Identity, not equality: two views may have saved the same.
        self._views[:] = [kept for kept in self._views if kept is not images]

    def close(self) -> None:
        """Drop everything; open snapshots read an empty state from now on, so close them first."""
        self._closed = True
        self.live = {}
        self._views = []

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
