"""Snapshots in folders: `TERM-INDEX-MILLIS/` with `state.bin` and `meta.json`, complete from the rename on."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from consul_kernel.contracts.errors import CorruptStoreError, StoreError
from consul_kernel.contracts.store import SnapshotMeta

from .files import Files

logger = logging.getLogger(__name__)

META, DATA, TEMPORARY_SUFFIX = "meta.json", "state.bin", ".tmp"
FORMAT_VERSION = 1
DIGEST_BYTES = 32
READ_BYTES = 1 << 20

P = ParamSpec("P")
T = TypeVar("T")


class _Description(msgspec.Struct, frozen=True, kw_only=True):
    """What `meta.json` holds. `meta_checksum` covers `meta` as it is encoded."""

    version: int
    meta: SnapshotMeta
    checksum: str
    """BLAKE2b of state.bin, 32 bytes, in hexadecimal."""
    meta_checksum: str


def _digest_meta(meta: SnapshotMeta, checksum: str) -> str:
    encoded = msgspec.json.encode((FORMAT_VERSION, meta, checksum))
    return hashlib.blake2b(encoded, digest_size=DIGEST_BYTES).hexdigest()


def _order(meta: SnapshotMeta) -> tuple[int, int, int]:
    """Sorts snapshots from the oldest to the newest."""
    return meta.index, meta.term, int(meta.id.rpartition("-")[2])


class DiskSnapshots:
    """A `SnapshotStore` in a folder. Files are read and written in one thread of its own."""

    def __init__(self, folder: Path, files: Files, *, retained: int) -> None:
        self._folder = folder
        self.files = files
        self._retained = retained
        self._known: dict[str, _Description] = {}
        self._thread: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Look through the folder. Raises OSError."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="consul-kernel-snapshots")
        self._known = await self.run(self._scan)

    def list(self) -> Sequence[SnapshotMeta]:
        return sorted((known.meta for known in self._known.values()), key=_order, reverse=True)

    async def create(
        self, *, index: int, term: int, configuration: bytes, configuration_index: int
    ) -> DiskSnapshotSink:
        stamp = time.time_ns() // 1_000_000
        while (self._folder / f"{term}-{index}-{stamp}").exists() or self._temporary(
            f"{term}-{index}-{stamp}"
        ).exists():
            stamp += 1
        meta = SnapshotMeta(
            id=f"{term}-{index}-{stamp}",
            index=index,
            term=term,
            configuration=configuration,
            configuration_index=configuration_index,
        )
        sink = DiskSnapshotSink(self, meta, self._temporary(meta.id))
        await self.run(sink.begin)
        return sink

    async def open(self, snapshot_id: str) -> DiskSnapshotSource:
        known = self._known.get(snapshot_id)
        if known is None:
            raise StoreError(f"{self._folder}: no snapshot {snapshot_id!r}")
        return await self.run(self._open, known)

    async def aclose(self) -> None:
        """Stop the thread; what was not committed is left to be removed at the next start."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=True)

    @property
    def closed(self) -> bool:
        """Whether the thread is gone."""
        return self._thread is None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work in the thread. Raises StoreError for what the operating system refuses."""
        if self._thread is None:
            raise StoreError("the store is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))
        except OSError as error:
            raise StoreError(f"{error.filename or self._folder}: {error.strerror or error}") from error

    async def publish(self, temporary: Path, meta: SnapshotMeta, checksum: str) -> None:
        """Give a snapshot its name, whose data is flushed, and drop the oldest beyond the number retained."""
        description = _Description(
            version=FORMAT_VERSION, meta=meta, checksum=checksum, meta_checksum=_digest_meta(meta, checksum)
        )
        await self.run(self._publish, temporary, description)
        self._known[meta.id] = description
        for surplus in self.list()[self._retained :]:
            del self._known[surplus.id]
            try:
                await self.run(self._drop, surplus.id)
            except StoreError as error:
                # The new one is safe; what is left of the old one is dropped at the next start, or listed again.
                logger.warning("an old snapshot could not be removed: %s", error)

    # --- in the thread ---

    def _temporary(self, snapshot_id: str) -> Path:
        return self._folder / f"{snapshot_id}{TEMPORARY_SUFFIX}"

    def _scan(self) -> dict[str, _Description]:
        self.files.make_folder(self._folder)
        found: dict[str, _Description] = {}
        for path in sorted(self._folder.iterdir()):
            if path.name.endswith(TEMPORARY_SUFFIX):
                self.remove(path)
            elif path.is_dir() and (description := self._describe(path)) is not None:
                found[path.name] = description
        return found

    def _describe(self, path: Path) -> _Description | None:
        """What a snapshot's folder says of itself, if it can be believed."""
        try:
            description = msgspec.json.decode((path / META).read_bytes(), type=_Description)
            size = (path / DATA).stat().st_size
        except (OSError, msgspec.MsgspecError) as error:
            logger.warning("%s: not a usable snapshot: %s", path, error)
            return None
        meta = description.meta
        if description.version != FORMAT_VERSION:
            logger.warning("%s: a snapshot of format version %d is not usable", path, description.version)
        elif description.meta_checksum != _digest_meta(meta, description.checksum) or meta.id != path.name:
            logger.warning("%s: not a usable snapshot: its %s is damaged", path, META)
        elif meta.size != size:
            logger.warning("%s: not a usable snapshot: %s has %d bytes, not %d", path, DATA, size, meta.size)
        else:
            return description
        return None

    def _open(self, known: _Description) -> DiskSnapshotSource:
        path = self._folder / known.meta.id / DATA
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
            position = 0
            while chunk := os.pread(descriptor, READ_BYTES, position):
                digest.update(chunk)
                position += len(chunk)
            if digest.hexdigest() != known.checksum:
                raise CorruptStoreError(
                    f"{path}: damaged: its checksum over {position} bytes is wrong; move the folder {known.meta.id} "
                    "away, so that an older snapshot or another server's is used"
                )
        except BaseException:
            os.close(descriptor)
            raise
        return DiskSnapshotSource(self, known.meta, descriptor)

    def _publish(self, temporary: Path, description: _Description) -> None:
        encoded = msgspec.json.encode(description)
        descriptor = self.files.create(temporary / META, 0)
        try:
            self.files.write(descriptor, encoded, 0)
            self.files.flush(descriptor)
        finally:
            self.files.close(descriptor)
        self.files.flush_folder(temporary)
        self.files.rename(temporary, self._folder / description.meta.id)
        self.files.flush_folder(self._folder)

    def _drop(self, snapshot_id: str) -> None:
        """Renamed first: a folder half removed must not look like a damaged snapshot."""
        self.files.rename(self._folder / snapshot_id, self._temporary(snapshot_id))
        self.remove(self._temporary(snapshot_id))

    def remove(self, folder: Path) -> None:
        """Remove a snapshot's folder and what is in it."""
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            self.files.remove(path)
        if folder.is_dir():
            self.files.remove_folder(folder)
        self.files.flush_folder(self._folder)


class DiskSnapshotSink:
    """A snapshot being written into a temporary folder."""

    def __init__(self, owner: DiskSnapshots, meta: SnapshotMeta, temporary: Path) -> None:
        self._owner = owner
        self._meta = meta
        self._temporary = temporary
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._size = 0
        self._descriptor = -1
        self._usable = True
        self._committed = False

    def begin(self) -> None:
        """Make the folder; runs in the thread."""
        self._owner.files.make_folder(self._temporary)
        self._descriptor = self._owner.files.create(self._temporary / DATA, 0)

    async def write(self, chunk: bytes) -> None:
        self._check_usable()
        try:
            await self._owner.run(self._write, chunk)
        except BaseException:
            self._usable = False
            raise

    async def commit(self) -> SnapshotMeta:
        self._check_usable()
        self._usable = False
        await self._owner.run(self._finish)
        meta = msgspec.structs.replace(self._meta, size=self._size)
        await self._owner.publish(self._temporary, meta, self._digest.hexdigest())
        self._committed = True
        return meta

    async def abort(self) -> None:
        self._usable = False
        if self._committed:
            return
        if self._owner.closed:
            self._close()  # the next start removes the rest
        else:
            await self._owner.run(self._discard)

    def _check_usable(self) -> None:
        if not self._usable:
            raise StoreError(f"snapshot {self._meta.id} is finished or failed")

    def _write(self, chunk: bytes) -> None:
        self._owner.files.write(self._descriptor, chunk, self._size)
        self._digest.update(chunk)
        self._size += len(chunk)

    def _finish(self) -> None:
        try:
            self._owner.files.flush(self._descriptor)
        finally:
            self._close()

    def _discard(self) -> None:
        self._close()
        if self._temporary.exists():
            self._owner.remove(self._temporary)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._owner.files.close(descriptor)


class DiskSnapshotSource:
    """A verified snapshot being read. Its file stays readable when the snapshot is dropped meanwhile."""

    def __init__(self, owner: DiskSnapshots, meta: SnapshotMeta, descriptor: int) -> None:
        self._owner = owner
        self._meta = meta
        self._descriptor = descriptor
        self._position = 0

    @property
    def meta(self) -> SnapshotMeta:
        return self._meta

    async def read(self, max_bytes: int) -> bytes:
        chunk = await self._owner.run(self._read, max_bytes)
        self._position += len(chunk)
        return chunk

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _read(self, max_bytes: int) -> bytes:
        if self._descriptor < 0:
            raise StoreError(f"snapshot {self._meta.id} is closed")
        return os.pread(self._descriptor, max_bytes, self._position)
