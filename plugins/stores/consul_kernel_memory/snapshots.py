"""Snapshots in memory."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from consul_kernel.contracts.errors import CorruptStoreError, StoreError
from consul_kernel.contracts.store import SnapshotMeta

RETAINED = 2
"""How many snapshots are kept: the newest, and the one before it while somebody may still be reading it."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    meta: SnapshotMeta
    data: bytes
    checksum: int


class MemorySnapshots:
    """A `SnapshotStore` that keeps the newest `RETAINED` in memory."""

    def __init__(self) -> None:
        self._snapshots: list[_Snapshot] = []
        self._numbers = itertools.count(1)
        self._closed = False

    def list(self) -> Sequence[SnapshotMeta]:
        return [snapshot.meta for snapshot in self._snapshots]

    async def create(
        self, *, index: int, term: int, configuration: bytes, configuration_index: int
    ) -> MemorySnapshotSink:
        self._check_open()
        meta = SnapshotMeta(
            id=f"{term}-{index}-{next(self._numbers)}",
            index=index,
            term=term,
            configuration=configuration,
            configuration_index=configuration_index,
        )
        return MemorySnapshotSink(self, meta)

    async def open(self, snapshot_id: str) -> MemorySnapshotSource:
        self._check_open()
        for snapshot in self._snapshots:
            if snapshot.meta.id == snapshot_id:
                if zlib.crc32(snapshot.data) != snapshot.checksum:
                    raise CorruptStoreError(f"snapshot {snapshot_id} changed in memory: restart the agent")
                return MemorySnapshotSource(snapshot.meta, snapshot.data)
        raise StoreError(f"no snapshot {snapshot_id!r}")

    def add(self, meta: SnapshotMeta, data: bytes) -> None:
        """Make a finished snapshot visible and drop the oldest beyond the number retained."""
        self._check_open()
        self._snapshots.append(_Snapshot(meta, data, zlib.crc32(data)))
        self._snapshots.sort(key=lambda snapshot: (snapshot.meta.index, snapshot.meta.term), reverse=True)
        del self._snapshots[RETAINED:]

    def close(self) -> None:
        """Drop everything."""
        self._closed = True
        self._snapshots = []

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


class MemorySnapshotSink:
    """A snapshot being written."""

    def __init__(self, owner: MemorySnapshots, meta: SnapshotMeta) -> None:
        self._owner = owner
        self._meta = meta
        self._chunks: list[bytes] | None = []

    async def write(self, chunk: bytes) -> None:
        if self._chunks is None:
            raise StoreError(f"snapshot {self._meta.id} is finished")
        self._chunks.append(chunk)

    async def commit(self) -> SnapshotMeta:
        chunks, self._chunks = self._chunks, None
        if chunks is None:
            raise StoreError(f"snapshot {self._meta.id} is finished")
        data = b"".join(chunks)
        meta = msgspec.structs.replace(self._meta, size=len(data))
        self._owner.add(meta, data)
        return meta

    async def abort(self) -> None:
        self._chunks = None


class MemorySnapshotSource:
    """A snapshot being read."""

    def __init__(self, meta: SnapshotMeta, data: bytes) -> None:
        self._meta = meta
        self._data = data
        self._position = 0

    @property
    def meta(self) -> SnapshotMeta:
        return self._meta

    async def read(self, max_bytes: int) -> bytes:
        chunk = self._data[self._position : self._position + max_bytes]
        self._position += len(chunk)
        return chunk

    def close(self) -> None:
        self._data = b""
