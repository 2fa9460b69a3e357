"""The open batch of the state: a write transaction of LMDB, done again in a larger map where this one is full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, Protocol

import lmdb

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import MAX_KEY_BYTES

from .keys import CHUNK_BYTES, links, long_key, node_end
from .reading import ROOT_NODES, Transaction, read_range, read_tables, read_value
from .values import stored

FORMAT_KEY: Final = b"\x00format"
"""Before every table."""
FORMAT: Final = b"2"
"""1 was without checksums, and without this key."""

Step = tuple[str, bytes, bytes | None]


class Owner(Protocol):
    """The state, as its batch knows it."""

    tree: Any

    def begin(self) -> DiskStateWriter:
        """Open the batch."""
        ...

    def end(self, *, undo: bool) -> None:
        """Close the batch."""
        ...

    def grow(self, *, remembered: bool) -> Transaction:
        """A larger map, and a transaction in it."""
        ...

    def error(self, error: Exception) -> StoreError:
        """What an error of LMDB means to who called."""
        ...


class DiskStateWriter:
    """The open batch. `steps` remembers it where the map may become full: `(table, key, value)`, the value None for
    a delete, the key empty for a clear."""

    def __init__(self, owner: Owner, transaction: Transaction, steps: list[Step] | None) -> None:
        self._owner = owner
        self.transaction: Transaction | None = transaction
        self._steps = steps

    def get(self, table: str, key: bytes) -> bytes | None:
        return read_value(self._live(), table, key, self._owner.error)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return read_range(self._live(), table, start, stop, reverse, self._owner.error)

    def tables(self) -> Sequence[str]:
        return read_tables(self._live(), self._owner.error)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise StoreError(f"a key has 1 to {MAX_KEY_BYTES} bytes, this one {len(key)}")
        if self._steps is not None:
            self._steps.append((table, key, value))
        try:
            _put(self._live(), table, key, value)
        except lmdb.MapFullError:
            self.repeat()

    def delete(self, table: str, key: bytes) -> bool:
        if self._steps is not None:
            self._steps.append((table, key, None))
        try:
            return _delete(self._live(), table, key)
        except lmdb.MapFullError:
            self.repeat()
            return True

    def clear(self) -> None:
        if self._steps is not None:
            self._steps[:] = [("", b"", None)]
        try:
            self._clear()
        except lmdb.MapFullError:
            self.repeat()

    def repeat(self) -> None:
        """The map is full: do the batch again in a larger one, until it fits."""
        while True:
            self._live().abort()
            self.transaction = None
            self.transaction = self._owner.grow(remembered=self._steps is not None)
            try:
                for table, key, value in self._steps or ():
                    self._do(table, key, value)
                return
            except lmdb.MapFullError:
                continue

    def _do(self, table: str, key: bytes, value: bytes | None) -> None:
        if value is not None:
            _put(self._live(), table, key, value)
        elif key:
            _delete(self._live(), table, key)
        else:
            self._clear()

    def _clear(self) -> None:
        transaction = self._live()
        transaction.drop(self._owner.tree, delete=False)
        transaction.put(FORMAT_KEY, FORMAT)

    def _live(self) -> Transaction:
        if self.transaction is None:
            raise StoreError("the batch has ended")
        return self.transaction


def _put(transaction: Transaction, table: str, key: bytes, value: bytes) -> None:
    if len(key) <= CHUNK_BYTES:
        transaction.put(ROOT_NODES[table] + key, stored(value))
        return
    for link, child in links(table, key):
        transaction.put(link, child, overwrite=False)
    transaction.put(long_key(table, key), stored(value))


def _delete(transaction: Transaction, table: str, key: bytes) -> bool:
    if len(key) <= CHUNK_BYTES:
        return bool(key) and bool(transaction.delete(ROOT_NODES[table] + key))
    if not transaction.delete(long_key(table, key)):
        return False
    with transaction.cursor() as cursor:
        for link, child in reversed(links(table, key)):
            if cursor.set_range(child) and cursor.key() < (node_end(child) or b""):
                break
            transaction.delete(link)
    return True


class Batch(AbstractContextManager[DiskStateWriter]):
    """The `with` block of a batch."""

    def __init__(self, state: Owner) -> None:
        self._state = state

    def __enter__(self) -> DiskStateWriter:
        return self._state.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.end(undo=kind is not None)
        if isinstance(error, lmdb.Error):
            raise self._state.error(error) from error
