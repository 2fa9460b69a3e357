"""The state on LMDB: one environment, one B+ tree, tables as prefixes of its keys.

One tree for all tables, measured: with a tree for each, a put costs 1.3 times as much and a batch of one put 1.6 times
(it writes the tree of trees as well), and a get the same. No writemap: a full disk would be a SIGBUS, not an error.
Commits are not flushed: the state can be rebuilt from the log and the snapshots. `StateFolder` sees to it that
a state which the machine's crash may have left half written is never opened.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from consul_kernel.contracts.errors import CorruptStoreError, StoreError
from consul_kernel.contracts.store import MAX_KEY_BYTES

from .keys import CHUNK_BYTES, links, long_key, node_end
from .reading import ROOT_NODES, Transaction, read_range, read_tables, read_value

logger = logging.getLogger(__name__)

MAX_READERS = 1024
"""Snapshots open at one time."""
SMALLEST_MAP_BYTES = 64 << 20
ROOM_BYTES = 4 << 30
"""With less room than this (or a quarter of the map) a batch is remembered, to be repeated in a larger map."""

_Step = tuple[str, bytes, bytes | None]


class DiskStateSnapshot:
    """A read transaction: what it sees stays on disk until it is closed."""

    def __init__(self, owner: DiskState, transaction: Transaction) -> None:
        self._owner = owner
        self._transaction: Transaction | None = transaction

    def get(self, table: str, key: bytes) -> bytes | None:
        return read_value(self._live(), table, key)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return read_range(self._live(), table, start, stop, reverse)

    def tables(self) -> Sequence[str]:
        return read_tables(self._live())

    def close(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.abort()
            self._owner.snapshots.discard(self)

    def _live(self) -> Transaction:
        if self._transaction is None:
            raise StoreError("the snapshot of the state is closed")
        return self._transaction


class DiskStateWriter:
    """The open batch. `steps` remembers it where the map may become full: `(table, key, value)`, the value None for
    a delete, the key empty for a clear."""

    def __init__(self, owner: DiskState, transaction: Transaction, steps: list[_Step] | None) -> None:
        self._owner = owner
        self.transaction: Transaction | None = transaction
        self._steps = steps

    def get(self, table: str, key: bytes) -> bytes | None:
        return read_value(self._live(), table, key)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return read_range(self._live(), table, start, stop, reverse)

    def tables(self) -> Sequence[str]:
        return read_tables(self._live())

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
            self._live().drop(self._owner.tree, delete=False)
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
            self._live().drop(self._owner.tree, delete=False)

    def _live(self) -> Transaction:
        if self.transaction is None:
            raise StoreError("the batch has ended")
        return self.transaction


def _put(transaction: Transaction, table: str, key: bytes, value: bytes) -> None:
    if len(key) <= CHUNK_BYTES:
        transaction.put(ROOT_NODES[table] + key, value)
        return
    for link, child in links(table, key):
        transaction.put(link, child, overwrite=False)
    transaction.put(long_key(table, key), value)


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


class _Batch(AbstractContextManager[DiskStateWriter]):
    """The `with` block of a batch."""

    def __init__(self, state: DiskState) -> None:
        self._state = state

    def __enter__(self) -> DiskStateWriter:
        return self._state.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.end(undo=kind is not None)
        if isinstance(error, lmdb.Error):
            raise self._state.error(error) from error


class DiskState:
    """A `StateStore` on LMDB."""

    def __init__(self, folder: Path, *, map_bytes: int) -> None:
        self._folder = folder
        self._map_bytes = map_bytes
        self._environment: lmdb.Environment | None = None
        self._page_bytes = 4096
        self._reader: Transaction | None = None
        self._writer: DiskStateWriter | None = None
        self.tree: Any = None
        self.snapshots: set[DiskStateSnapshot] = set()

    def open(self) -> None:
        """Open or create the environment. Raises lmdb.Error where the files are no use."""
        map_bytes = self._map_bytes
        while True:
            try:
                self._environment = lmdb.open(
                    str(self._folder),
                    map_size=map_bytes,
                    max_readers=MAX_READERS,
                    max_spare_txns=8,
                    sync=False,
                    metasync=False,
                    mode=0o600,
                )
                break
            except (lmdb.MemoryError, MemoryError):
                # The process may not have so much address space (RLIMIT_AS).
                if map_bytes <= SMALLEST_MAP_BYTES:
                    raise
                map_bytes //= 4
        self._page_bytes = int(self._environment.stat()["psize"])
        try:
            self._refuse_short_file(self._environment)
            self.tree = self._environment.open_db()
        except lmdb.Error:
            self._environment.close()
            self._environment = None
            raise

    def close(self) -> None:
        """Flush and close; open snapshots are closed with it."""
        environment, self._environment = self._environment, None
        if environment is None:
            return
        for snapshot in tuple(self.snapshots):
            snapshot.close()
        self._drop_reader()
        environment.sync(True)
        environment.close()

    # --- reads of the last completed batch ---

    def get(self, table: str, key: bytes) -> bytes | None:
        reader = self._reader
        if reader is None:
            reader = self._read()
        try:
            if len(key) <= CHUNK_BYTES:
                value: bytes | None = reader.get(ROOT_NODES[table] + key)
                return value
            return read_value(reader, table, key)
        except lmdb.Error as error:
            raise self.error(error) from error

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return read_range(self._reader or self._read(), table, start, stop, reverse)

    def tables(self) -> Sequence[str]:
        return read_tables(self._reader or self._read())

    def snapshot(self) -> DiskStateSnapshot:
        try:
            transaction = self._open_environment().begin()
        except lmdb.ReadersFullError as error:
            raise StoreError(f"more than {MAX_READERS} snapshots of the state are open") from error
        snapshot = DiskStateSnapshot(self, transaction)
        self.snapshots.add(snapshot)
        return snapshot

    # --- batches ---

    def write(self) -> AbstractContextManager[DiskStateWriter]:
        return _Batch(self)

    def begin(self) -> DiskStateWriter:
        """Open the batch."""
        if self._writer is not None:
            raise StoreError("a batch is already open: one at a time")
        environment = self._open_environment()
        # A reader of the previous batch would keep its pages from being used again.
        self._drop_reader()
        room = self._room(environment)
        if room < self._least_room() and not self.snapshots:
            self._resize(environment)
            room = self._room(environment)
        steps: list[_Step] | None = [] if room < ROOM_BYTES else None
        self._writer = DiskStateWriter(self, environment.begin(write=True), steps)
        return self._writer

    def end(self, *, undo: bool) -> None:
        """Close the batch."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if writer.transaction is None:
            if undo:
                return
            raise StoreError(f"{self._folder}: the batch was given up after an error and is undone")
        self._drop_reader()
        if undo:
            writer.transaction.abort()
            writer.transaction = None
            return
        try:
            while True:
                try:
                    writer.transaction.commit()
                    break
                except lmdb.MapFullError:
                    writer.repeat()
        except lmdb.Error as error:
            raise self.error(error) from error
        finally:
            writer.transaction = None

    def grow(self, *, remembered: bool) -> Transaction:
        """A larger map, and a batch in it that has everything still to do."""
        environment = self._open_environment()
        if self.snapshots or not remembered:
            raise StoreError(
                f"{self._folder}: the state's map of {environment.info()['map_size']} bytes is full and cannot grow "
                "while a snapshot is being taken: set a larger map_bytes in the store's block"
            )
        self._drop_reader()
        self._resize(environment)
        return environment.begin(write=True)

    # --- inside ---

    def _refuse_short_file(self, environment: lmdb.Environment) -> None:
        """Pages that the file does not have end the process with SIGBUS when they are read. lmdb.CorruptedError."""
        pages = int(environment.info()["last_pgno"]) + 1
        size = (self._folder / "data.mdb").stat().st_size
        if size < pages * self._page_bytes:
            raise lmdb.CorruptedError(f"data.mdb has {size} bytes, its {pages} pages take {pages * self._page_bytes}")

    def _open_environment(self) -> lmdb.Environment:
        if self._environment is None:
            raise StoreError("the store is closed")
        return self._environment

    def _read(self) -> Transaction:
        """The transaction that reads share until the next batch."""
        try:
            self._reader = reader = self._open_environment().begin()
        except lmdb.Error as error:
            raise self.error(error) from error
        return reader

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.abort()

    def _room(self, environment: lmdb.Environment) -> int:
        info = environment.info()
        return int(info["map_size"]) - (int(info["last_pgno"]) + 1) * self._page_bytes

    def _least_room(self) -> int:
        return self._map_bytes // 4

    def _resize(self, environment: lmdb.Environment) -> None:
        self._map_bytes = int(environment.info()["map_size"]) * 2
        environment.set_mapsize(self._map_bytes)
        logger.info("%s: the state's map is now %d bytes", self._folder, self._map_bytes)

    def error(self, error: lmdb.Error) -> StoreError:
        """What an error of LMDB means to who called."""
        if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.PanicError):
            return CorruptStoreError(
                f"{self._folder}: the state is damaged ({error}): stop the agent, remove this folder and start it "
                "again; the state is rebuilt from the log and the snapshots"
            )
        return StoreError(f"{self._folder}: {error}")
