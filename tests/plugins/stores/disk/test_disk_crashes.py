"""Crashes of the machine at every step of the disk store, on a disk that forgets and tears what was not flushed."""

from __future__ import annotations

import errno
import os
import random
import threading
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import HardState, SnapshotSink, StoreContext
from consul_kernel.testing.store_life_checks import Memory
from consul_kernel.testing.store_load import Step, perform, plan
from consul_kernel.testing.store_subject import entries
from consul_kernel_disk.config import DiskConfig
from consul_kernel_disk.files import Files
from consul_kernel_disk.store import DiskStore

SECTOR_BYTES = 512
CONFIG = DiskConfig(segment_bytes=8192, log_cache_bytes=0, map_bytes=16 << 20)
STEPS = 45


@dataclass(eq=False)
class Inode:
    """A file as programs see it, and as the disk holds it."""

    now: bytearray = field(default_factory=bytearray)
    flushed: bytearray = field(default_factory=bytearray)

    def after_crash(self, rng: random.Random, mode: str) -> bytes:
        """What is found afterwards: of what was not flushed, nothing, everything, or some sectors."""
        if mode == "forget":
            return bytes(self.flushed)
        if mode == "keep":
            return bytes(self.now)
        found = bytearray(self.flushed.ljust(len(self.now), b"\x00"))
        for start in range(0, len(self.now), SECTOR_BYTES):
            if rng.random() < 0.5:
                found[start : start + SECTOR_BYTES] = self.now[start : start + SECTOR_BYTES]
        return bytes(found if rng.random() < 0.8 else found[: len(self.flushed)])


@dataclass
class Image:
    """A disk after a crash, and how many steps had been acknowledged by then."""

    acknowledged: int
    files: dict[Path, bytes]


class CrashingFiles(Files):
    """Does everything for real, and keeps a second account of what a crash at this moment would leave.

    Names are kept in the order in which they were changed: a crash leaves some prefix of what was not flushed.
    """

    def __init__(self, seed: int) -> None:
        self.acknowledged = 0
        self.images: list[Image] = []
        self._rng = random.Random(seed)
        self._lock = threading.Lock()  # the log and the snapshots each have a thread
        self._names: dict[Path, Inode] = {}
        self._flushed_names: dict[Path, Inode] = {}
        self._changes: list[tuple[Path, Inode | None]] = []
        self._open: dict[int, Inode] = {}

    def create(self, path: Path, size: int) -> int:
        descriptor = super().create(path, size)
        with self._lock:
            self._open[descriptor] = inode = Inode(bytearray(size))
            self._name(path, inode)
            self._crash()
        return descriptor

    def open(self, path: Path) -> int:
        descriptor = super().open(path)
        with self._lock:
            self._open[descriptor] = self._names[path]
        return descriptor

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        super().write(descriptor, data, offset)
        with self._lock:
            inode = self._open[descriptor]
            inode.now[:] = inode.now.ljust(offset, b"\x00")
            inode.now[offset : offset + len(data)] = data
            self._crash()

    def flush(self, descriptor: int) -> None:
        super().flush(descriptor)
        with self._lock:
            self._open[descriptor].flushed[:] = self._open[descriptor].now
            self._crash()

    def flush_folder(self, path: Path) -> None:
        super().flush_folder(path)
        with self._lock:
            kept = []
            for name, inode in self._changes:
                # A folder's own name is in its parent, so what is below a renamed folder goes by the parent.
                if name.parent == path or name.parent.parent == path:
                    self._apply(self._flushed_names, name, inode)
                else:
                    kept.append((name, inode))
            self._changes = kept
            self._crash()

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        with self._lock:
            for name in [name for name in self._names if name == old or old in name.parents]:
                inode = self._names[name]
                self._name(name, None)
                self._name(new / name.relative_to(old), inode)
            self._crash()

    def remove(self, path: Path) -> None:
        super().remove(path)
        with self._lock:
            self._name(path, None)
            self._crash()

    def _name(self, path: Path, inode: Inode | None) -> None:
        self._apply(self._names, path, inode)
        self._changes.append((path, inode))

    @staticmethod
    def _apply(names: dict[Path, Inode], path: Path, inode: Inode | None) -> None:
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode

    def _crash(self) -> None:
        """Note what the disk would hold if the machine stopped here: all, nothing and some of the unflushed."""
        for mode in ("forget", "keep", "tear", "tear"):
            names = dict(self._flushed_names)
            count = {"forget": 0, "keep": len(self._changes)}.get(mode, self._rng.randint(0, len(self._changes)))
            for path, inode in self._changes[:count]:
                self._apply(names, path, inode)
            files = {path: inode.after_crash(self._rng, mode) for path, inode in names.items()}
            self.images.append(Image(self.acknowledged, files))


def test_every_crash_of_the_machine_recovers(quick_path: Path) -> None:
    """D4, D5: at every write, flush, rename and removal, four ways each; the state is discarded, not believed."""
    import asyncio

    asyncio.run(_crash_everywhere(quick_path))


async def _crash_everywhere(tmp_path: Path) -> None:
    files = CrashingFiles(seed=1)
    folder = tmp_path / "original"
    store = DiskStore(StoreContext(data_dir=folder), CONFIG, files, boot_id="first")
    await store.start()
    memories, steps = [Memory()], []
    for number in range(1, STEPS):
        steps.append(plan(number, store.log.last_index, store.log.first_index))
        await perform(store, steps[-1])
        memories.append(deepcopy(memories[-1]))
        memories[-1].acknowledge(steps[-1])
        files.acknowledged = number
    await store.aclose()
    steps.append(Step(STEPS, steps[-1].run, steps[-1].hard_state, None, None))
    assert len(files.images) > 500
    seen = set()
    for image in files.images:
        key = (image.acknowledged, frozenset(image.files.items()))
        if key not in seen:
            seen.add(key)
            target = tmp_path / f"image-{len(seen)}"
            _restore(image, folder, target)
            await _recover(target, memories[image.acknowledged], steps[image.acknowledged])
    assert len(seen) > 200


def _restore(image: Image, original: Path, target: Path) -> None:
    for path, data in image.files.items():
        copy = target / path.relative_to(original)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(data)
    (target / "state").mkdir(parents=True, exist_ok=True)
    if (target / "state" / "open").exists():
        (target / "state" / "data.mdb").write_bytes(os.urandom(65536))


class QuickFiles(Files):
    """Flushes nothing: these recoveries are not crashed again."""

    def flush(self, descriptor: int) -> None:
        pass

    def flush_folder(self, path: Path) -> None:
        pass


async def _recover(target: Path, memory: Memory, pending: Step) -> None:
    """What is recovered is right, and the log goes on from there: a second start finds what the first one added."""
    store = DiskStore(StoreContext(data_dir=target), CONFIG, QuickFiles(), boot_id="second")
    await store.start()
    await memory.compare(store, pending)
    assert store.state.tables() == []
    added = store.log.last_index + 1
    await store.log.append(entries(added, added, 99_999))
    found = list(store.log.entries(store.log.first_index, added, 1 << 40))
    await store.aclose()
    store = DiskStore(StoreContext(data_dir=target), CONFIG, QuickFiles(), boot_id="third")
    await store.start()
    assert list(store.log.entries(store.log.first_index, added, 1 << 40)) == found
    await store.aclose()


class FailingFiles(Files):
    """Refuses its n-th operation, and everything after it: a full disk, or one that is going.

    Of the write that fails about `written` bytes get to the disk, in whole sectors: a kernel gives up between pages.
    """

    def __init__(self, count: int, code: int, written: int = 0) -> None:
        self.left = count
        self._code = code
        self._written = written

    def _use(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(self._code, os.strerror(self._code))

    def create(self, path: Path, size: int) -> int:
        self._use()
        return super().create(path, size)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if self.left == 0:
            end = (offset + self._written) // SECTOR_BYTES * SECTOR_BYTES
            super().write(descriptor, data[: max(0, end - offset)], offset)
        self._use()
        super().write(descriptor, data, offset)

    def flush(self, descriptor: int) -> None:
        self._use()
        super().flush(descriptor)

    def flush_folder(self, path: Path) -> None:
        self._use()
        super().flush_folder(path)

    def rename(self, old: Path, new: Path) -> None:
        self._use()
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        self._use()
        super().remove(path)


@pytest.mark.parametrize(
    ("code", "written"), [(errno.ENOSPC, 0), (errno.ENOSPC, 700), (errno.EIO, 0), (errno.EIO, 1100)]
)
async def test_a_failed_write_is_the_last(quick_path: Path, code: int, written: int) -> None:
    """After one failure the log refuses everything; a new start has everything that was acknowledged."""
    failed_compactions = 0
    for count in range(60):
        folder = quick_path / str(count)
        files = FailingFiles(1 << 30, code, written)
        store = DiskStore(StoreContext(data_dir=folder), CONFIG, files)
        await store.start()
        files.left = count
        acknowledged, failure = 0, ""
        while not failure:
            try:
                await store.log.append(
                    entries(acknowledged + 1, acknowledged + 1, 1, b"x" * 1000), HardState(acknowledged)
                )
                acknowledged += 1
                await store.log.compact(acknowledged - 4)
            except StoreError as error:
                failure = str(error)
        failed_compactions += store.log.first_index > 1
        assert os.strerror(code) in failure
        assert store.log.last_index == acknowledged
        files.left = 1 << 30
        for refused in (store.log.append([], HardState(999)), store.log.compact(1), store.log.reset(5, 5)):
            with pytest.raises(StoreError, match="takes no more"):
                await refused
        with pytest.raises(StoreError):
            store.log.entries(1, 1, 100)
        await store.aclose()
        again = DiskStore(StoreContext(data_dir=folder), CONFIG)
        await again.start()
        assert acknowledged <= again.log.last_index <= acknowledged + 1
        first = again.log.first_index
        assert first <= max(1, acknowledged - 3)
        assert list(again.log.entries(first, acknowledged, 1 << 30)) == [
            entry for index in range(first, acknowledged + 1) for entry in entries(index, index, 1, b"x" * 1000)
        ]
        await again.aclose()
    assert failed_compactions > 10


async def test_a_snapshot_that_cannot_be_written_is_nothing(tmp_path: Path) -> None:
    """A full disk while a snapshot is written: StoreError, nothing listed, and the next one works."""
    files = FailingFiles(1 << 30, errno.ENOSPC)
    store = DiskStore(StoreContext(data_dir=tmp_path), CONFIG, files)
    await store.start()
    sink: SnapshotSink | None = None

    async def take() -> None:
        nonlocal sink
        sink = await store.snapshots.create(index=1, term=1, configuration=b"", configuration_index=0)
        await sink.write(b"data")
        await sink.commit()

    for count in range(7):
        files.left = count
        with pytest.raises(StoreError, match="No space left"):
            await take()
        files.left = 1 << 30
        if sink is not None:
            await sink.abort()
        assert list(store.snapshots.list()) == []
    await take()
    assert len(store.snapshots.list()) == 1
    await store.aclose()
