"""Snapshots: one blob each, beside the log."""

from __future__ import annotations

import itertools
import sqlite3
import zlib
from collections.abc import Sequence

import msgspec

from consul_kernel.contracts.errors import CorruptStoreError, StoreError
from consul_kernel.contracts.store import SnapshotMeta

from .log import Runner

RETAINED = 2
_SCHEMA = "CREATE TABLE IF NOT EXISTS snapshots (id TEXT PRIMARY KEY, meta BLOB, data BLOB, checksum INTEGER)"


class ToySnapshots:
    """A `SnapshotStore`."""

    def __init__(self, database: Runner) -> None:
        self._database = database
        self._metas: list[SnapshotMeta] = []
        self._numbers = itertools.count()

    async def start(self) -> None:
        def load(connection: sqlite3.Connection) -> list[bytes]:
            connection.execute(_SCHEMA)
            return [row[0] for row in connection.execute("SELECT meta FROM snapshots")]

        metas = [msgspec.msgpack.decode(row, type=SnapshotMeta) for row in await self._database.run(load)]
        self._metas = sorted(metas, key=lambda meta: meta.index, reverse=True)
        self._numbers = itertools.count(1 + max((int(meta.id.rpartition("-")[2]) for meta in metas), default=0))

    def list(self) -> Sequence[SnapshotMeta]:
        return list(self._metas)

    async def create(self, *, index: int, term: int, configuration: bytes, configuration_index: int) -> ToySink:
        await self._database.run(lambda connection: None)
        return ToySink(
            self,
            SnapshotMeta(
                id=f"toy-{next(self._numbers)}",
                index=index,
                term=term,
                configuration=configuration,
                configuration_index=configuration_index,
            ),
        )

    async def open(self, snapshot_id: str) -> ToySource:
        meta = next((meta for meta in self._metas if meta.id == snapshot_id), None)
        if meta is None:
            raise StoreError(f"no snapshot {snapshot_id!r}")
        query = "SELECT data, checksum FROM snapshots WHERE id = ?"
        data, checksum = await self._database.run(lambda it: it.execute(query, (snapshot_id,)).fetchone())
        if zlib.crc32(data) != checksum:
            raise CorruptStoreError(f"snapshot {snapshot_id} is damaged: remove it")
        return ToySource(meta, data)

    async def add(self, meta: SnapshotMeta, data: bytes) -> None:
        """Store a finished snapshot and forget the oldest."""
        metas = sorted([*self._metas, meta], key=lambda one: one.index, reverse=True)
        surplus = [(one.id,) for one in metas[RETAINED:]]

        def work(connection: sqlite3.Connection) -> None:
            row = (meta.id, msgspec.msgpack.encode(meta), data, zlib.crc32(data))
            connection.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?)", row)
            connection.executemany("DELETE FROM snapshots WHERE id = ?", surplus)

        await self._database.run(work)
        self._metas = metas[:RETAINED]


class ToySink:
    """A snapshot in the making, in memory."""

    def __init__(self, owner: ToySnapshots, meta: SnapshotMeta) -> None:
        self._owner = owner
        self._meta = meta
        self._chunks: list[bytes] | None = []

    async def write(self, chunk: bytes) -> None:
        if self._chunks is None:
            raise StoreError("finished")
        self._chunks.append(chunk)

    async def commit(self) -> SnapshotMeta:
        if self._chunks is None:
            raise StoreError("finished")
        data = b"".join(self._chunks)
        self._chunks = None
        meta = msgspec.structs.replace(self._meta, size=len(data))
        await self._owner.add(meta, data)
        return meta

    async def abort(self) -> None:
        self._chunks = None


class ToySource:
    """A snapshot being read, from memory."""

    def __init__(self, meta: SnapshotMeta, data: bytes) -> None:
        self.meta = meta
        self._data = data

    async def read(self, max_bytes: int) -> bytes:
        chunk, self._data = self._data[:max_bytes], self._data[max_bytes:]
        return chunk

    def close(self) -> None:
        self._data = b""
