"""Restoring by commands: another state is staged piece by piece, and replaces the state at one place of the log."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from consul_kernel.contracts.errors import CorruptStoreError, RequestError
from consul_kernel.contracts.store import StateStore, StoreContext
from consul_kernel.state import CommandType, ReplicatedState, encode_command
from consul_kernel.state.generations import NOTES_TABLE, Generations, TableNames, split_name, unused_generation
from consul_kernel.state.machine import OutOfOrderError
from consul_kernel.state.restore import RestoreOp, RestoreRequest
from consul_kernel.structs.kv import DirEntry, KVOp, KVSRequest
from consul_kernel_disk import create
from consul_kernel_disk.config import DiskConfig
from consul_kernel_memory.store import MemoryStore
from core.state.driver import BytesSource, Dump, StateDriver
from core.state.test_machine import busy, index_tables_agree, snapshot_bytes

NOT_RESTORED = ("meta", "restore", "machine", "tombstones.horizon")


def rows_of(dump: Dump) -> dict[str, list[bytes]]:
    """The rows of a state as pieces carry them."""
    return {
        table: [part for pair in pairs for part in pair] for table, pairs in dump.items() if table not in NOT_RESTORED
    }


def step(
    driver: StateDriver,
    op: str,
    number: int = 0,
    rows: dict[str, list[bytes]] | None = None,
    *,
    restore_id: str = "r1",
    index: int = 0,
) -> object:
    request = RestoreRequest(op=op, id=restore_id, number=number, index=index, rows=rows or {})
    return driver.apply(CommandType.RESTORE, request)


def restore(driver: StateDriver, other: Dump, *, index: int) -> None:
    """All steps, in pieces of one table each."""
    assert step(driver, RestoreOp.BEGIN) is True
    rows = rows_of(other)
    for number, (table, pairs) in enumerate(rows.items()):
        assert step(driver, RestoreOp.ROWS, number, {table: pairs}) is True
    assert step(driver, RestoreOp.COMMIT, len(rows), index=index) is True


def saved() -> StateDriver:
    return busy(StateDriver(MemoryStore().state), 5)


# --- what a restore does ---


def test_the_state_is_replaced_as_a_whole(driver: StateDriver) -> None:
    other = saved()
    busy(driver, 6, 40)
    driver.put(b"only here")
    restore(driver, other.dump(), index=other.index)
    assert rows_of(driver.dump()) == rows_of(other.dump())
    assert driver.state.kv.get(b"only here") is None
    for name in ("s0", "s1", "s2"):
        assert driver.state.catalog.check_service_nodes(name) == other.state.catalog.check_service_nodes(name)
    index_tables_agree(driver)
    assert busy(driver, 7, 40).state.kv.max_index() <= driver.state.index
    index_tables_agree(driver)


def test_readers_see_the_old_state_until_the_last_step(driver: StateDriver) -> None:
    driver.put(b"a", b"old")
    other = StateDriver(MemoryStore().state)
    other.put(b"a", b"new")
    step(driver, RestoreOp.BEGIN)
    step(driver, RestoreOp.ROWS, 0, rows_of(other.dump()))
    driver.put(b"b", b"meanwhile")
    assert driver.state.kv.keys(b"")[1] == [b"a", b"b"]
    assert driver.state.kv.get(b"a").value == b"old"  # type: ignore[union-attr]
    step(driver, RestoreOp.COMMIT, 1)
    assert driver.state.kv.keys(b"")[1] == [b"a"]
    assert driver.state.kv.get(b"a").value == b"new"  # type: ignore[union-attr]


def test_commands_behind_the_last_step_in_the_same_batch_meet_the_new_state(driver: StateDriver) -> None:
    driver.put(b"a", b"old")
    other = StateDriver(MemoryStore().state)
    other.put(b"a", b"new")
    requests = [
        RestoreRequest(op=RestoreOp.BEGIN, id="r"),
        RestoreRequest(op=RestoreOp.ROWS, id="r", rows=rows_of(other.dump())),
        RestoreRequest(op=RestoreOp.COMMIT, id="r", number=1, index=500),
    ]
    cas = KVSRequest(op=KVOp.CAS, dir_ent=DirEntry(key=b"a", value=b"newer", modify_index=1))
    commands = [encode_command(CommandType.RESTORE, request) for request in requests]
    commands.append(encode_command(CommandType.KVS, cas))
    results = driver.state.apply(list(enumerate(commands, driver.index + 1)))
    assert results == [True, True, True, True]
    entry = driver.state.kv.get(b"a")
    assert entry is not None
    assert (entry.value, entry.modify_index) == (b"newer", 502)


def test_waits_end_and_later_queries_start_anew(driver: StateDriver) -> None:
    async def scene() -> None:
        driver.put(b"a")
        epoch = driver.state.watches.epoch
        waiting = asyncio.ensure_future(driver.state.watches.watch([("kv", b"a")]).wait(5))
        step(driver, RestoreOp.BEGIN)
        await asyncio.sleep(0)
        assert not waiting.done()
        step(driver, RestoreOp.COMMIT)
        assert await waiting
        assert driver.state.watches.epoch == epoch + 1

    asyncio.run(scene())


# --- indexes ---


def test_no_index_that_was_ever_told_is_given_again(driver: StateDriver) -> None:
    driver.put(b"a")
    restore(driver, saved().dump(), index=1000)
    assert driver.state.index == 1001
    assert driver.put(b"b") < 1001
    assert driver.state.kv.get(b"b").modify_index == 1002  # type: ignore[union-attr]
    assert ReplicatedState(driver.store).index == 1002
    restore(driver, saved().dump(), index=10)
    before = driver.state.index
    driver.put(b"c")
    assert driver.state.kv.get(b"c").modify_index == before + 1 > 1002  # type: ignore[union-attr]


def test_an_older_archive_leaves_the_index_of_the_log(driver: StateDriver) -> None:
    for _ in range(20):
        driver.put(b"a")
    restore(driver, StateDriver(MemoryStore().state).dump(), index=3)
    assert driver.state.index == driver.index == 22
    assert "machine" not in driver.dump()


async def test_servers_that_got_a_snapshot_instead_give_the_same_indexes(driver: StateDriver) -> None:
    restore(driver, saved().dump(), index=1000)
    data = snapshot_bytes(driver.state)
    assert data[7] == 2
    other = StateDriver(MemoryStore().state)
    await other.state.restore(BytesSource(data))
    assert other.dump() == driver.dump()
    assert other.state.index == driver.state.index
    for each in (driver, other):
        each.put(b"a")
    assert other.dump() == driver.dump()


# --- refusals ---


@pytest.mark.parametrize(
    ("op", "restore_id", "number", "rows"),
    [
        ("begin", "", 0, {}),
        ("rows", "r1", 1, {}),
        ("rows", "r2", 0, {}),
        ("rows", "", 0, {}),
        ("commit", "r1", 1, {}),
        ("commit", "r2", 0, {}),
        ("nonsense", "r1", 0, {}),
        ("rows", "r1", 0, {"kvs": [b"k"]}),
        ("rows", "r1", 0, {"kvs": [b"", b"v"]}),
        ("rows", "r1", 0, {"kvs": [b"k" * 1537, b"v"]}),
        ("rows", "r1", 0, {"": [b"k", b"v"]}),
        ("rows", "r1", 0, {"1/kvs": [b"k", b"v"]}),
        ("rows", "r1", 0, {"k\x00vs": [b"k", b"v"]}),
        ("rows", "r1", 0, {"k" * 49: [b"k", b"v"]}),
        ("rows", "r1", 0, {"meta": [b"k", b"v"]}),
        ("rows", "r1", 0, {"machine": [b"k", b"v"]}),
        ("rows", "r1", 0, {"kvs": [b"k", b"v"], "restore": [b"k", b"v"]}),
    ],
)
def test_a_step_that_cannot_be_is_refused_and_changes_nothing(
    driver: StateDriver, op: str, restore_id: str, number: int, rows: dict[str, list[bytes]]
) -> None:
    step(driver, RestoreOp.BEGIN)
    before = driver.dump()
    assert isinstance(step(driver, op, number, rows, restore_id=restore_id), RequestError)
    after = driver.dump()
    before["meta"] = after["meta"]
    assert after == before
    assert step(driver, RestoreOp.COMMIT) is True


def test_nothing_is_staged_without_a_beginning(driver: StateDriver) -> None:
    for op in (RestoreOp.ROWS, RestoreOp.COMMIT):
        assert isinstance(step(driver, op), RequestError)
    assert step(driver, RestoreOp.ABORT) is True
    assert isinstance(step(driver, RestoreOp.COMMIT, index=-1), RequestError)


def test_another_beginning_and_an_abort_give_up_what_is_staged(driver: StateDriver) -> None:
    driver.put(b"a")
    step(driver, RestoreOp.BEGIN)
    step(driver, RestoreOp.ROWS, 0, {"kvs": [b"x", b"\x80"]})
    assert driver.state.restore_under_way() == "r1"
    assert step(driver, RestoreOp.BEGIN, restore_id="r2") is True
    assert isinstance(step(driver, RestoreOp.ROWS, 1, {"kvs": [b"y", b"\x80"]}), RequestError)
    assert step(driver, RestoreOp.ABORT) is True  # the other one's end is no concern of this one
    assert driver.state.restore_under_way() == "r2"
    assert step(driver, RestoreOp.ABORT, restore_id="") is True
    assert driver.state.restore_under_way() == ""
    assert isinstance(step(driver, RestoreOp.COMMIT, restore_id="r2"), RequestError)
    driver.sweep()
    assert set(driver.store.tables()) == {"index", "kvs", "meta"}


# --- snapshots, restarts and waste ---


def test_a_restart_forgets_nothing_that_was_staged(driver: StateDriver) -> None:
    other = saved()
    step(driver, RestoreOp.BEGIN)
    step(driver, RestoreOp.ROWS, 0, rows_of(other.dump()))
    again = StateDriver(driver.store)
    again.sweep()
    again.state.advance(driver.index)
    assert step(again, RestoreOp.COMMIT, 1, index=other.index) is True
    assert rows_of(again.dump()) == rows_of(other.dump())
    assert StateDriver(driver.store).state.kv.keys(b"") == again.state.kv.keys(b"")


async def test_a_snapshot_has_what_is_staged(driver: StateDriver) -> None:
    other = saved()
    busy(driver, 8, 40)
    step(driver, RestoreOp.BEGIN)
    step(driver, RestoreOp.ROWS, 0, rows_of(other.dump()))
    copy = busy(StateDriver(MemoryStore().state), 9, 40)
    await copy.state.restore(BytesSource(snapshot_bytes(driver.state)))
    copy.sweep()
    assert copy.dump() == driver.dump()
    for each in (driver, copy):
        assert step(each, RestoreOp.COMMIT, 1, index=other.index) is True
    assert copy.dump() == driver.dump()
    assert rows_of(copy.dump()) == rows_of(other.dump())


async def test_a_snapshot_of_an_empty_beginning_is_one_too(driver: StateDriver) -> None:
    step(driver, RestoreOp.BEGIN)
    copy = StateDriver(MemoryStore().state)
    await copy.state.restore(BytesSource(snapshot_bytes(driver.state)))
    for each in (driver, copy):
        assert step(each, RestoreOp.ROWS, 0, {"kvs": [b"k", b"\x80"]}) is True
        assert step(each, RestoreOp.COMMIT, 1) is True
    assert copy.dump() == driver.dump()


async def test_no_command_is_applied_while_a_snapshot_is_restored(driver: StateDriver) -> None:
    driver.put(b"a")
    data = snapshot_bytes(driver.state)
    other = StateDriver(MemoryStore().state)

    class Intruding(BytesSource):
        async def read(self, max_bytes: int) -> bytes:
            with pytest.raises(OutOfOrderError):
                other.put(b"b")
            return await super().read(max_bytes)

    await other.state.restore(Intruding(data))
    other.put(b"b")
    assert other.state.kv.keys(b"")[1] == [b"a", b"b"]


async def test_what_was_replaced_is_removed_bit_by_bit_and_nothing_else(driver: StateDriver) -> None:
    busy(driver, 1)
    rows_before = sum(len(pairs) for pairs in driver.dump().values())
    step(driver, RestoreOp.BEGIN)
    step(driver, RestoreOp.COMMIT)
    assert driver.state.waste.is_set()
    kept = driver.dump()
    view = driver.state.snapshot()
    rounds = 0
    while driver.state.remove_waste(7):
        rounds += 1
        assert driver.dump() == kept
    assert rounds > rows_before // 7 // 2
    assert not driver.state.waste.is_set()
    assert b"".join(view.chunks()) == snapshot_bytes(driver.state)
    view.close()
    kept_numbers = Generations.load(driver.store).kept
    assert {split_name(name)[0] for name in driver.store.tables() if name != NOTES_TABLE} <= kept_numbers


async def test_waste_of_a_crash_is_found_at_the_start(driver: StateDriver) -> None:
    data = snapshot_bytes(busy(driver, 2).state)
    other = StateDriver(MemoryStore().state)
    with pytest.raises(CorruptStoreError):
        await other.state.restore(BytesSource(data[:-1]))
    assert other.store.tables()
    again = StateDriver(other.store)
    assert again.state.waste.is_set()
    again.sweep()
    assert not other.store.tables()


def test_generations_have_names_of_their_own() -> None:
    names = TableNames(3)
    assert names["kvs"] == "3/kvs"
    assert split_name(names["services.name"]) == (3, "services.name")
    assert TableNames(0)["kvs"] == "kvs"
    assert split_name("kvs") == (0, "kvs")
    assert unused_generation(["kvs", "1/kvs", "meta"], (2,)) == 3
    assert unused_generation(["meta"], ()) == 0


@pytest.mark.parametrize("seed", range(3))
async def test_stores_agree_over_restores_writes_snapshots_and_restarts(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    disk = create(StoreContext(data_dir=tmp_path), DiskConfig())
    await disk.start()
    try:
        stores: list[StateStore] = [MemoryStore().state, disk.state]
        drivers = [StateDriver(store) for store in stores]
        for _ in range(12):
            doing, other_seed, index = rng.randrange(4), rng.randrange(1 << 30), rng.randrange(400)
            for number, each in enumerate(drivers):
                match doing:
                    case 0:
                        other = busy(StateDriver(MemoryStore().state), other_seed, 60)
                        restore(each, other.dump(), index=index)
                    case 1:
                        busy(each, other_seed, 20)
                    case 2:
                        await each.state.restore(BytesSource(snapshot_bytes(each.state)))
                    case _:
                        drivers[number] = StateDriver(stores[number])
                        drivers[number].sweep()
            assert drivers[0].dump() == drivers[1].dump()
            index_tables_agree(drivers[1])
    finally:
        await disk.aclose()
