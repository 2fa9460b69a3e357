"""A disk without room: what was asked is refused, nothing has changed, and all goes on once there is room."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import lmdb
import pytest

from consul_kernel.contracts.errors import StoreError, StoreFullError
from consul_kernel.contracts.store import HardState, StoreContext
from consul_kernel.testing.store_subject import entries
from consul_kernel_disk.config import DiskConfig
from consul_kernel_disk.files import Files
from consul_kernel_disk.store import DiskStore


class SmallDisk(Files):
    """Says when it is full that there is no room for a new file, and leaves an empty one, as a real one does."""

    def __init__(self) -> None:
        self.full = False

    def create(self, path: Path, size: int) -> int:
        if self.full:
            os.close(super().create(path, 0))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().create(path, size)


async def open_store(path: Path, files: SmallDisk) -> DiskStore:
    store = DiskStore(StoreContext(data_dir=path), DiskConfig(segment_bytes=4096), files)
    await store.start()
    return store


def files_of(path: Path) -> list[str]:
    return sorted(file.name for file in (path / "raft" / "log").iterdir())


async def test_an_append_that_finds_no_room_changes_nothing_and_succeeds_later(quick_path: Path) -> None:
    """L11: what was refused is done once there is room."""
    files = SmallDisk()
    store = await open_store(quick_path, files)
    log = store.log
    await log.append(entries(1, 10, 1), HardState(1, "a"))
    before = files_of(quick_path)
    files.full = True
    large = entries(11, 90, 2)
    for _ in range(2):
        with pytest.raises(StoreFullError, match="No space left on device"):
            await log.append(large, HardState(2, "b"))
        assert (log.last_index, log.hard_state, log.term(11)) == (10, HardState(1, "a"), None)
    assert files_of(quick_path) == before
    await log.append(entries(11, 12, 1))  # what needs no new file is written
    files.full = False
    await log.append(large, HardState(2, "b"))
    await log.append(entries(91, 91, 2))
    await store.aclose()
    again = await open_store(quick_path, files)
    assert (again.log.last_index, again.log.hard_state) == (91, HardState(2, "b"))
    assert again.log.entries(1, 91, 1 << 20) == [*entries(1, 10, 1), *large, *entries(91, 91, 2)]
    await again.aclose()


async def test_a_segment_begun_later_has_the_hard_state_that_was_written(quick_path: Path) -> None:
    """Each begins with it: one that was refused must not be there."""
    files = SmallDisk()
    store = await open_store(quick_path, files)
    await store.log.append(entries(1, 10, 1), HardState(1, "a"))
    files.full = True
    with pytest.raises(StoreFullError):
        await store.log.append(entries(11, 90, 2), HardState(2, "b"))
    files.full = False
    await store.log.append(entries(11, 90, 1))
    await store.aclose()
    again = await open_store(quick_path, files)
    assert again.log.hard_state == HardState(1, "a")
    await again.aclose()


async def test_appends_behind_one_without_room_fail_with_it_and_compaction_makes_room(quick_path: Path) -> None:
    files = SmallDisk()
    store = await open_store(quick_path, files)
    log = store.log
    for first in range(1, 200, 20):
        await log.append(entries(first, first + 19, 1))
    segments = len(files_of(quick_path))
    files.full = True
    outcomes = asyncio.gather(
        log.append(entries(201, 300, 1)), log.append(entries(301, 301, 1)), log.compact(200), return_exceptions=True
    )
    assert [type(outcome) for outcome in await outcomes] == [StoreFullError, StoreFullError, type(None)]
    assert log.last_index == 200
    assert log.first_index > 100
    assert len(files_of(quick_path)) < segments
    files.full = False
    await log.append(entries(201, 300, 1))
    assert log.last_index == 300
    await store.aclose()


async def test_a_reset_that_finds_no_room_changes_nothing(quick_path: Path) -> None:
    files = SmallDisk()
    store = await open_store(quick_path, files)
    await store.log.append(entries(1, 10, 1))
    files.full = True
    with pytest.raises(StoreFullError):
        await store.log.reset(50, 3)
    assert (store.log.first_index, store.log.last_index) == (1, 10)
    await store.log.append(entries(11, 12, 1))
    files.full = False
    await store.log.reset(50, 3)
    assert (store.log.first_index, store.log.last_index, store.log.term(50)) == (51, 50, 3)
    await store.aclose()


@pytest.mark.parametrize("free", [0, 1 << 30])
def test_a_write_cut_short_is_for_lack_of_room_only_where_there_is_none(
    tmp_path: Path, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B8: LMDB calls it an I/O error."""
    store = DiskStore(StoreContext(data_dir=tmp_path), DiskConfig(), SmallDisk())
    values = list(os.statvfs(tmp_path))
    values[1], values[4] = 1, free
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(values))
    error = store.state.error(lmdb.Error(f"mdb_txn_commit: {os.strerror(errno.EIO)}"))
    assert type(error) is (StoreError if free else StoreFullError)
    assert type(store.state.error(lmdb.DiskError("mdb_txn_commit"))) is StoreFullError
