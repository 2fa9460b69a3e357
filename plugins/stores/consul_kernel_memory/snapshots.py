"""Snapshots in memory."""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from consul_kernel.contracts.errors import CorruptStoreError, StoreError
from consul_kernel.contracts.store import SnapshotMeta

RETAINED = 2
"""How many snapshots are kept: the newest, and the one before it while somebody may still be reading it."""


TURN_BYTES = 4 << 20
"""Checked in one turn of the event loop: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    meta: SnapshotMeta
    chunks: Sequence[bytes]
    """As they were written: put together, a large state would stop the event loop while it is copied."""
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
                if await _checksum(snapshot.chunks) != snapshot.checksum:
                    raise CorruptStoreError(f"snapshot {snapshot_id} changed in memory: restart the agent")
                return MemorySnapshotSource(snapshot.meta, snapshot.chunks)
        raise StoreError(f"no snapshot {snapshot_id!r}")

    def add(self, meta: SnapshotMeta, chunks: Sequence[bytes], checksum: int) -> None:
        """Make a finished snapshot visible and drop the oldest beyond the number retained."""
        self._check_open()
        self._snapshots.append(_Snapshot(meta, chunks, checksum))
        self._snapshots.sort(key=lambda snapshot: (snapshot.meta.index, snapshot.meta.term), reverse=True)
        del self._snapshots[RETAINED:]

    def close(self) -> None:
        """Drop everything."""
        self._closed = True
        self._snapshots = []

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


async def _checksum(chunks: Sequence[bytes]) -> int:
    checksum, size = 0, 0
    for chunk in chunks:
        checksum = zlib.crc32(chunk, checksum)
        size += len(chunk)
        if size >= TURN_BYTES:
            size = 0
            await asyncio.sleep(0)
    return checksum


class MemorySnapshotSink:
    """A snapshot being written."""

    def __init__(self, owner: MemorySnapshots, meta: SnapshotMeta) -> None:
        self._owner = owner
        self._meta = meta
        self._chunks: list[bytes] | None = []
        self._checksum = 0
        self._size = 0

    async def write(self, chunk: bytes) -> None:
        if self._chunks is None:
            raise StoreError(f"snapshot {self._meta.id} is finished")
        self._checksum = zlib.crc32(chunk, self._checksum)
        self._size += len(chunk)
        self._chunks.append(chunk)

    async def commit(self) -> SnapshotMeta:
        chunks, self._chunks = self._chunks, None
        if chunks is None:
            raise StoreError(f"snapshot {self._meta.id} is finished")
        meta = msgspec.structs.replace(self._meta, size=self._size)
        self._owner.add(meta, chunks, self._checksum)
        return meta

    async def abort(self) -> None:
        self._chunks = None


class MemorySnapshotSource:
    """A snapshot being read."""

    def __init__(self, meta: SnapshotMeta, chunks: Sequence[bytes]) -> None:
        self._meta = meta
        self._chunks = chunks
        self._next = 0
        self._offset = 0
        """In the next chunk."""

    @property
    def meta(self) -> SnapshotMeta:
        return self._meta

    async def read(self, max_bytes: int) -> bytes:
        while self._next < len(self._chunks):
            chunk = self._chunks[self._next]
            piece = chunk[self._offset : self._offset + max_bytes]
            if piece:
                self._offset += len(piece)
                return piece
            self._next += 1
            self._offset = 0
        return b""

    def close(self) -> None:
        self._chunks = ()
