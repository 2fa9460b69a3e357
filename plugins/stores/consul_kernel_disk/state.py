"""The state on LMDB: one environment, one B+ tree, tables as prefixes of its keys.

One tree for all tables, measured: with a tree for each, a put costs 1.3 times as much and a batch of one put 1.6 times
(it writes the tree of trees as well), and a get the same. No writemap: a full disk would be a SIGBUS, not an error.
Commits are not flushed: the state can be rebuilt from the log and the snapshots. `StateFolder` sees to it that
a state which the machine's crash may have left half written is never opened.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import lmdb

from consul_kernel.contracts.errors import CorruptStoreError, StoreError, StoreFullError

from .batch import FORMAT, FORMAT_KEY, Batch, DiskStateWriter, Step
from .keys import CHUNK_BYTES
from .reading import READ_ERRORS, ROOT_NODES, Transaction, read_range, read_tables, read_value
from .values import CHECKSUM_BYTES, RESIDUE, DamagedValueError, checked, crc32
from .view import DiskStateSnapshot

logger = logging.getLogger(__name__)

_EIO = os.strerror(errno.EIO)

MAX_READERS = 1024
"""Snapshots open at one time."""
SMALLEST_MAP_BYTES = 64 << 20
FULL_BYTES = 1 << 20
"""Where no more is free, a write that was cut short was for lack of room: LMDB writes this much at once, at most."""
ROOM_BYTES = 4 << 30
"""With less room than this (or a quarter of the map) a batch is remembered, to be repeated in a larger map."""


class DiskState:
    """A `StateStore` on LMDB. `on_damage` is called when what is read is not what was written."""

    def __init__(self, folder: Path, *, map_bytes: int, on_damage: Callable[[], None]) -> None:
        self._folder = folder
        self._on_damage = on_damage
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
            self._check_format(self._environment)
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
        if len(key) > CHUNK_BYTES:
            return read_value(self._reader or self._read(), table, key, self.error)
        # As `read_value` does it; a call less is a third of a read.
        try:
            found: bytes | None = (self._reader or self._read()).get(ROOT_NODES[table] + key)
            if found is None:
                return None
            return found[:-CHECKSUM_BYTES] if crc32(found) == RESIDUE else checked(found)
        except READ_ERRORS as error:
            raise self.error(error) from error

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return read_range(self._reader or self._read(), table, start, stop, reverse, self.error)

    def tables(self) -> Sequence[str]:
        return read_tables(self._reader or self._read(), self.error)

    def snapshot(self) -> DiskStateSnapshot:
        try:
            transaction = self._open_environment().begin()
        except lmdb.ReadersFullError as error:
            raise StoreError(f"more than {MAX_READERS} snapshots of the state are open") from error
        snapshot = DiskStateSnapshot(transaction, self.error, self.snapshots.discard)
        self.snapshots.add(snapshot)
        return snapshot

    # --- batches ---

    def write(self) -> AbstractContextManager[DiskStateWriter]:
        return Batch(self)

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
        steps: list[Step] | None = [] if room < ROOM_BYTES else None
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
        if not remembered:
            raise StoreError(
                f"{self._folder}: a batch of more than {ROOM_BYTES} bytes: set a larger map_bytes in the store's block"
            )
        # A map cannot grow under a reader. Writes go before snapshots, which are taken again.
        for snapshot in tuple(self.snapshots):
            snapshot.end(f"{self._folder}: the snapshot of the state was ended, since the state's map had to grow")
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

    def _check_format(self, environment: lmdb.Environment) -> None:
        """Say which format this is where nothing is yet. lmdb.VersionMismatchError for another one."""
        with environment.begin(write=True) as transaction:
            found = transaction.get(FORMAT_KEY)
            if found is None and not transaction.stat(self.tree)["entries"]:
                transaction.put(FORMAT_KEY, FORMAT)
            elif found != FORMAT:
                version = "1" if found is None else found.decode("ascii", "replace")
                raise lmdb.VersionMismatchError(f"its format is {version}, this version reads {FORMAT.decode()}")

    def _open_environment(self) -> lmdb.Environment:
        if self._environment is None:
            raise StoreError("the store is closed")
        return self._environment

    def _read(self) -> Transaction:
        """The transaction that reads share until the next batch."""
        try:
            self._reader = reader = self._open_environment().begin()
        except READ_ERRORS as error:
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

    def _is_full(self) -> bool:
        """LMDB calls a write that was cut short an I/O error; it is one only where there would have been room."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize < FULL_BYTES

    def _resize(self, environment: lmdb.Environment) -> None:
        self._map_bytes = int(environment.info()["map_size"]) * 2
        environment.set_mapsize(self._map_bytes)
        logger.info("%s: the state's map is now %d bytes", self._folder, self._map_bytes)

    def error(self, error: Exception) -> StoreError:
        """What an error of LMDB, or of a checksum, means to who called."""
        if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.PanicError | DamagedValueError):
            self._on_damage()
            return CorruptStoreError(
                f"{self._folder}: the state is damaged ({error}): restart the agent, which then builds it again from "
                "the log and the snapshots"
            )
        if isinstance(error, lmdb.DiskError) or (_EIO in str(error) and self._is_full()):
            return StoreFullError(f"{self._folder}: no room for the state: {error}")
        return StoreError(f"{self._folder}: {error}")
