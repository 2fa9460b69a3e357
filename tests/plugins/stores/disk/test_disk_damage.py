"""Damage to the disk store's files: found and named, or harmless; never believed, never another error."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from consul_kernel.contracts.errors import CorruptStoreError
from consul_kernel.contracts.store import HardState, LogEntry, StoreContext
from consul_kernel.testing.store_snapshot_checks import take
from consul_kernel.testing.store_subject import entries
from consul_kernel_disk.config import DiskConfig
from consul_kernel_disk.files import Files
from consul_kernel_disk.records import HEADER_BYTES, Record, decode_header, read_chain
from consul_kernel_disk.store import DiskStore

CONFIG = DiskConfig(segment_bytes=4096, log_cache_bytes=0, map_bytes=16 << 20)
HARD_STATE = HardState(9, "me")


class QuickFiles(Files):
    """Flushes nothing: nothing crashes here."""

    def flush(self, descriptor: int) -> None:
        pass

    def flush_folder(self, path: Path) -> None:
        pass


def make(folder: Path) -> DiskStore:
    """A store on the folder."""
    return DiskStore(StoreContext(data_dir=folder), CONFIG, QuickFiles())


@pytest.fixture
async def original(quick_path: Path) -> Path:
    """A folder with five files of log, whose last holds several batches."""
    folder = quick_path / "original"
    store = make(folder)
    await store.start()
    for first in range(1, 60, 3):
        await store.log.append(entries(first, first + 2, first, b"x" * 220), HARD_STATE)
    await store.aclose()
    assert len(segments(folder)) >= 4
    assert len({record.batch for record in records(segments(folder)[-1].read_bytes())}) >= 3
    return folder


def segments(folder: Path) -> list[Path]:
    """The log's files."""
    return sorted((folder / "raft" / "log").glob("*.log"))


def records(data: bytes) -> list[Record]:
    """The good records of a file."""
    return list(read_chain(data, decode_header(data)))


async def recover(folder: Path) -> list[LogEntry] | None:
    """What is in the log, or None when the start was refused as it should be."""
    store = make(folder)
    try:
        await store.start()
    except CorruptStoreError as error:
        text = str(error)
        assert "raft/log" in text
        assert "data_dir" in text or "move it" in text
        await store.aclose()
        return None
    assert store.log.hard_state == HARD_STATE
    found = list(store.log.entries(store.log.first_index, store.log.last_index, 1 << 40))
    await store.aclose()
    return found


WHOLE = [entry for first in range(1, 60, 3) for entry in entries(first, first + 2, first, b"x" * 220)]


async def test_changed_bytes_are_never_believed(original: Path) -> None:
    """D7: 300 times up to four bytes change: either the log is whole, or the start is refused."""
    refused = 0
    log = original / "raft" / "log"
    saved = {path: path.read_bytes() for path in segments(original)}
    for seed in range(300):
        rng = random.Random(seed)
        path = rng.choice(sorted(saved))
        data = bytearray(saved[path])
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        path.write_bytes(data)
        found = await recover(original)
        refused += found is None
        assert found is None or found == WHOLE, f"seed {seed}"
        for name in log.iterdir():
            name.unlink()
        for name, content in saved.items():
            name.write_bytes(content)
    assert 150 < refused < 300


async def test_lost_sectors_cost_the_last_batch_at_most(original: Path) -> None:
    """Sectors that turn to zeros look like a torn write in the last batch, and like damage anywhere else."""
    saved = {path: path.read_bytes() for path in segments(original)}
    last = segments(original)[-1]
    last_batch = max(record.batch for record in records(saved[last]))
    cut = 0
    for path in segments(original):
        for start in range(0, 4096, 512):
            data = bytearray(saved[path])
            data[start : start + 512] = bytes(512)
            path.write_bytes(data)
            found = await recover(original)
            if found is not None and found != WHOLE:
                assert path == last
                assert start + 512 > last_batch
                assert found == WHOLE[: len(found)]
                assert len(found) >= len(WHOLE) - 3
                cut += 1
            elif path != last and data != saved[path]:
                assert found is None
            for name, content in saved.items():
                name.write_bytes(content)
    assert cut


CUTS: dict[str, Callable[[list[Path]], object]] = {
    "a file is missing": lambda files: files[1].unlink(),
    "a file has another's number": lambda files: files[-1].rename(files[-1].with_name("0000000000000099.log")),
    "a file is a copy of another": lambda files: shutil.copy(files[0], files[1]),
    "a file is empty": lambda files: files[-1].write_bytes(b""),
    "a file is short": lambda files: files[-1].write_bytes(files[-1].read_bytes()[:2000]),
    "a file is long": lambda files: files[-1].write_bytes(files[-1].read_bytes() + b"\x00"),
    "a stranger": lambda files: files[0].with_name("notes.log").write_bytes(b"hello"),
    "an unknown version": lambda files: files[-1].write_bytes(b"CKRAFTLG\xff" + files[-1].read_bytes()[9:]),
    "the end of a file that is not the last": lambda files: _blank_last_record(files[1]),
}


def _blank_last_record(path: Path) -> None:
    data = path.read_bytes()
    record = records(data)[-1]
    path.write_bytes(data[: record.offset] + bytes(len(data) - record.offset))


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
async def test_missing_and_foreign_files_are_named(original: Path, cut: Callable[[list[Path]], object]) -> None:
    """D7: every way in which files go missing, but for the newest and the oldest, which nothing tells of."""
    cut(segments(original))
    assert await recover(original) is None
    assert await recover(original) is None, "a refusal mended what it refused"


async def test_a_record_in_a_users_value_is_no_record(quick_path: Path) -> None:
    """A value that holds a file's own bytes does not make a torn tail look like damage."""
    store = make(quick_path)
    await store.start()
    await store.log.append(entries(1, 3, 1), HARD_STATE)
    (path,) = segments(quick_path)
    other = quick_path / "other"
    twin = make(other)
    await twin.start()
    await twin.log.append(entries(1, 3, 1), HARD_STATE)
    await twin.aclose()
    await store.log.append([LogEntry(4, 1, 0, segments(other)[0].read_bytes()[HEADER_BYTES:1600])])
    await store.aclose()
    data = bytearray(path.read_bytes())
    batch = max(record.batch for record in records(bytes(data)))
    torn = batch // 512 * 512 + 512
    data[torn : torn + 512] = bytes(512)
    path.write_bytes(data)
    assert await recover(quick_path) == entries(1, 3, 1)


async def test_a_log_that_vanished_is_noticed(quick_path: Path) -> None:
    """Snapshots without a log: the vote is lost, and such a server must not take part."""
    store = make(quick_path)
    await store.start()
    await take(store.snapshots, 5)
    await store.aclose()
    shutil.rmtree(quick_path / "raft" / "log")
    for _ in range(2):
        with pytest.raises(CorruptStoreError, match="no log in raft/log"):
            await make(quick_path).start()


async def test_a_state_whose_log_vanished_is_not_dropped(quick_path: Path) -> None:
    """Before the first snapshot the state is all that is left of what was acknowledged, and the vote is lost."""
    store = make(quick_path)
    await store.start()
    with store.state.write() as batch:
        batch.put("kv", b"key", b"value")
    await store.aclose()
    log = quick_path / "raft" / "log"
    log.rename(quick_path / "lost")
    for _ in range(2):
        with pytest.raises(CorruptStoreError, match="a state in state/ but no log in raft/log"):
            await make(quick_path).start()
    shutil.rmtree(log, ignore_errors=True)
    (quick_path / "lost").rename(log)
    store = make(quick_path)
    await store.start()
    assert store.state.get("kv", b"key") == b"value"
    await store.aclose()


async def test_damage_while_running_is_found_on_reading(original: Path) -> None:
    """An entry that is no more in memory is checked when it is read again."""
    store = make(original)
    await store.start()
    path = segments(original)[0]
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptStoreError, match="while the agent ran"):
        store.log.entries(1, 9, 1 << 30)
    await store.aclose()


@pytest.mark.parametrize("name", ["meta.json", "state.bin"])
async def test_damaged_snapshots_are_not_read(quick_path: Path, name: str) -> None:
    """S5: every byte counts, of the description and of the data; an older snapshot is still there."""
    store = make(quick_path)
    await store.start()
    older = await take(store.snapshots, 4, b"older")
    meta = await take(store.snapshots, 5, b"newer")
    await store.aclose()
    path = quick_path / "raft" / "snapshots" / meta.id / name
    saved = path.read_bytes()
    for position in range(0, len(saved), 3):
        data = bytearray(saved)
        data[position] ^= 1
        path.write_bytes(data)
        store = make(quick_path)
        await store.start()
        try:
            if name == "state.bin":
                with pytest.raises(CorruptStoreError, match=r"state\.bin"):
                    await store.snapshots.open(meta.id)
            else:
                assert list(store.snapshots.list()) == [older], f"byte {position}"
        finally:
            await store.aclose()


async def test_leftovers_of_snapshots_are_removed(quick_path: Path) -> None:
    """A snapshot that was being written or removed when the agent stopped is gone after the start."""
    store = make(quick_path)
    await store.start()
    sink = await store.snapshots.create(index=5, term=1, configuration=b"", configuration_index=0)
    await sink.write(b"half")
    await store.aclose()
    folder = quick_path / "raft" / "snapshots"
    assert [path.suffix for path in folder.iterdir()] == [".tmp"]
    store = make(quick_path)
    await store.start()
    assert list(folder.iterdir()) == []
    await store.aclose()
