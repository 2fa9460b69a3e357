"""Starting the disk store: paths, the lock, the boot id, and a map that grows."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from consul_kernel.contracts.errors import CorruptStoreError, PluginStartError, StoreError
from consul_kernel.contracts.store import LogEntry, StoreContext
from consul_kernel_disk.config import DiskConfig
from consul_kernel_disk.files import Files
from consul_kernel_disk.state import DiskState
from consul_kernel_disk.store import DiskStore


def make(folder: Path | None, boot_id: str | None = None, **settings: object) -> DiskStore:
    """A store with these settings."""
    config = msgspec.convert({"map_bytes": 16 << 20, **settings}, DiskConfig)
    return DiskStore(StoreContext(data_dir=folder), config, boot_id=boot_id)


async def test_no_path_is_a_start_error() -> None:
    with pytest.raises(PluginStartError, match="data_dir"):
        await make(None).start()


async def test_path_wins_over_data_dir(tmp_path: Path) -> None:
    store = make(tmp_path / "data", path=str(tmp_path / "elsewhere" / "deep"))
    await store.start()
    await store.aclose()
    assert sorted(path.name for path in (tmp_path / "elsewhere" / "deep").iterdir()) == [
        "consul-kernel.lock",
        "raft",
        "state",
    ]
    assert not (tmp_path / "data").exists()


async def test_new_folders_are_durable_in_the_folders_above(tmp_path: Path) -> None:
    """D4: a flushed log is lost with the machine where the name of a folder that leads to it is not flushed too."""
    flushed = []

    class Recording(Files):
        def flush_folder(self, path: Path) -> None:
            super().flush_folder(path)
            flushed.append(path)

    store = DiskStore(StoreContext(data_dir=tmp_path / "a" / "b"), DiskConfig(map_bytes=16 << 20), Recording())
    await store.start()
    await store.aclose()
    for above in (tmp_path, tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "raft"):
        assert above in flushed


async def test_a_path_that_is_a_file_is_a_start_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("not a folder")
    with pytest.raises(PluginStartError, match="file"):
        await make(path).start()


async def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    """D6: held by another process; free as soon as that is killed."""
    script = (
        "import asyncio, sys; from pathlib import Path; from consul_kernel.testing.store_subject import StoreSubject\n"
        "async def main():\n"
        "    store = StoreSubject('consul_kernel_disk').make(Path(sys.argv[1]))\n"
        "    await store.start()\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        with pytest.raises(PluginStartError, match=rf"process {process.pid}\b"):
            await make(tmp_path).start()
    finally:
        process.kill()
        await process.communicate()
    store = make(tmp_path)
    await store.start()
    await store.aclose()


async def _fill(store: DiskStore) -> None:
    await store.start()
    await store.log.append([LogEntry(1, 1, 0, b"command")])
    with store.state.write() as batch:
        batch.put("kv", b"k", b"v")


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [("boot-1", "boot-1", True), ("boot-1", "boot-2", False), ("boot-1", "", False), ("", "", False)],
)
async def test_the_boot_id_decides_after_a_crash(tmp_path: Path, before: str, after: str, kept: bool) -> None:
    """D5: the state of a process that crashed is kept, that of a machine that did is not; the log always is."""
    crashed = make(tmp_path, before)
    await _fill(crashed)
    copy = tmp_path.with_name(tmp_path.name + "-copy")
    await asyncio.to_thread(shutil.copytree, tmp_path, copy)  # as the crash left it
    store = make(copy, after)
    await store.start()
    assert store.state.get("kv", b"k") == (b"v" if kept else None)
    assert store.log.last_index == 1
    await store.aclose()
    await crashed.aclose()


async def test_a_start_that_fails_does_not_make_a_torn_state_whole(tmp_path: Path) -> None:
    """The marker of the crash is there until a start has acted on it."""
    crashed = make(tmp_path / "first", "boot-1")
    await _fill(crashed)
    copy = tmp_path / "copy"
    await asyncio.to_thread(shutil.copytree, tmp_path / "first", copy)
    await crashed.aclose()
    segment = copy / "raft" / "log" / "0000000000000001.log"
    saved = segment.read_bytes()
    segment.write_bytes(b"damaged")
    with pytest.raises(CorruptStoreError):
        await make(copy, "boot-2").start()
    segment.write_bytes(saved)
    store = make(copy, "boot-2")
    await store.start()
    assert store.state.get("kv", b"k") is None
    await store.aclose()


async def test_little_address_space_is_enough(tmp_path: Path) -> None:
    """Where the process may not map what the configuration says, a smaller map does."""
    script = (
        "import asyncio, resource, sys; from pathlib import Path\n"
        "from consul_kernel.testing.store_subject import StoreSubject\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "async def main():\n"
        "    async with StoreSubject('consul_kernel_disk').opened(Path(sys.argv[1])) as store:\n"
        "        with store.state.write() as batch:\n"
        "            batch.put('kv', b'k', b'v')\n"
        "        print(store.state.get('kv', b'k'))\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output == b"b'v'\n"


async def test_a_clean_stop_survives_a_new_boot(tmp_path: Path) -> None:
    store = make(tmp_path, "boot-1")
    await _fill(store)
    await store.aclose()
    store = make(tmp_path, "boot-2")
    await store.start()
    assert store.state.get("kv", b"k") == b"v"
    await store.aclose()


async def test_a_state_that_is_no_state_is_built_again(tmp_path: Path) -> None:
    """LMDB refuses the file: the log and the snapshots have it all."""
    store = make(tmp_path)
    await _fill(store)
    await store.aclose()
    (tmp_path / "state" / "data.mdb").write_bytes(b"garbage" * 5000)
    store = make(tmp_path)
    await store.start()
    assert store.state.get("kv", b"k") is None
    assert store.log.last_index == 1
    await store.aclose()


async def test_a_state_that_was_cut_short_is_built_again(tmp_path: Path) -> None:
    """Reading a page that the file does not have would end the process with a signal."""
    store = make(tmp_path)
    await _fill(store)
    with store.state.write() as batch:
        for number in range(200):
            batch.put("kv", b"%d" % number, bytes(1000))
    await store.aclose()
    with (tmp_path / "state" / "data.mdb").open("r+b") as file:
        file.truncate(3 * 4096)
    store = make(tmp_path)
    await store.start()
    assert store.state.get("kv", b"1") is None
    assert store.log.last_index == 1
    await store.aclose()


async def _filled(tmp_path: Path) -> None:
    store = make(tmp_path)
    await _fill(store)
    with store.state.write() as batch:
        for number in range(200):
            batch.put("kv", b"%03d" % number, b"value %03d " % number * 50)
        batch.put("kv", b"long" * 200, b"of a long key" * 50)
    await store.aclose()


def _damage(tmp_path: Path, text: bytes) -> None:
    """Turn one bit of each copy of a text in the state."""
    path = tmp_path / "state" / "data.mdb"
    data = path.read_bytes()
    assert text in data
    path.write_bytes(data.replace(text, bytes([text[0] ^ 1]) + text[1:]))


def _read_in_batch(state: DiskState) -> None:
    with state.write() as batch:
        batch.get("kv", b"123")


READS: dict[str, Callable[[DiskState], object]] = {
    "get": lambda state: state.get("kv", b"123"),
    "long": lambda state: state.get("kv", b"long" * 200),
    "range": lambda state: list(state.range("kv")),
    "reverse": lambda state: list(state.range("kv", reverse=True)),
    "snapshot": lambda state: list(state.snapshot().range("kv", b"1")),
    "batch": _read_in_batch,
}


@pytest.mark.parametrize("way", READS)
async def test_a_bit_that_turned_in_a_value_is_noticed_and_the_state_built_again(tmp_path: Path, way: str) -> None:
    await _filled(tmp_path)
    _damage(tmp_path, b"of a long key" if way == "long" else b"value 123 ")
    store = make(tmp_path)
    await store.start()
    state = store.state
    assert state.get("kv", b"122") == b"value 122 " * 50
    with pytest.raises(CorruptStoreError, match="restart the agent"):
        READS[way](state)
    await store.aclose()
    store = make(tmp_path)
    await store.start()
    assert store.state.tables() == []
    assert store.log.last_index == 1
    with store.state.write() as batch:
        batch.put("kv", b"k", b"v")
    await store.aclose()
    store = make(tmp_path)
    await store.start()
    assert store.state.get("kv", b"k") == b"v", "once rebuilt, it is trusted again"
    await store.aclose()


async def test_pages_of_the_state_that_are_none_are_noticed(tmp_path: Path) -> None:
    await _filled(tmp_path)
    path = tmp_path / "state" / "data.mdb"
    data = path.read_bytes()
    page = data.index(b"value 150 ") // 4096 * 4096
    path.write_bytes(data[:page] + b"\xa5" * 4096 + data[page + 4096 :])
    store = make(tmp_path)
    await store.start()
    with pytest.raises(CorruptStoreError, match="restart the agent"):
        list(store.state.range("kv"))
    await store.aclose()
    store = make(tmp_path)
    await store.start()
    assert store.state.tables() == []
    await store.aclose()


@pytest.mark.parametrize("version", [b"", b"3"])
async def test_a_state_of_another_format_is_built_again(
    tmp_path: Path, version: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("consul_kernel_disk.state.FORMAT", version)
        await _filled(tmp_path)
    store = make(tmp_path)
    await store.start()
    assert store.state.tables() == []
    assert f"its format is {version.decode()}, this version reads 2" in caplog.text
    with store.state.write() as batch:
        batch.clear()
    with store.state.write() as batch:
        batch.put("kv", b"k", b"v")
    await store.aclose()
    store = make(tmp_path)
    await store.start()
    assert store.state.get("kv", b"k") == b"v"
    await store.aclose()


async def test_the_map_grows_within_a_batch(tmp_path: Path) -> None:
    """A batch ten times the map: repeated in larger ones, with its deletes and its clear."""
    store = make(tmp_path, map_bytes=1 << 20)
    await store.start()
    with store.state.write() as batch:
        batch.put("kv", b"old", b"v")
    with store.state.write() as batch:
        batch.clear()
        for number in range(1000):
            batch.put("kv", b"%05d" % number, b"x" * 10_000)
            if number % 10 == 0:
                assert batch.delete("kv", b"%05d" % (number // 2))
    wanted = sorted(
        {b"%05d" % number for number in range(1000)} - {b"%05d" % (number // 2) for number in range(0, 1000, 10)}
    )
    assert [key for key, _ in store.state.range("kv")] == wanted
    await store.aclose()
    store = make(tmp_path, map_bytes=1 << 20)
    await store.start()
    assert len(list(store.state.range("kv"))) == len(wanted)
    with store.state.write() as batch:
        batch.put("kv", b"after", b"x" * 500_000)
    await store.aclose()


async def test_a_map_that_has_to_grow_ends_the_snapshots(tmp_path: Path) -> None:
    """A map cannot grow under a reader, and what is written must not wait for one: snapshots are taken again."""
    store = make(tmp_path, map_bytes=1 << 20)
    await store.start()
    with store.state.write() as batch:
        for number in range(10):
            batch.put("kv", b"old %d" % number, b"1")
    view, other = store.state.snapshot(), store.state.snapshot()
    pairs = view.range("kv")
    assert next(pairs) == (b"old 0", b"1")
    with store.state.write() as batch:
        for number in range(1000):
            batch.put("kv", b"%05d" % number, b"x" * 10_000)
    for read in (lambda: next(pairs), lambda: list(view.range("kv")), lambda: other.get("kv", b"old 1"), view.tables):
        with pytest.raises(StoreError):
            read()
    view.close()
    with pytest.raises(StoreError, match="map had to grow"):
        view.get("kv", b"old 0")
    view = store.state.snapshot()
    assert len(list(view.range("kv"))) == 1010
    view.close()
    await store.aclose()
