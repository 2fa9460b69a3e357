"""Batches, determinism, snapshots and restores."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys

import msgspec
import pytest

from consul_kernel.contracts.errors import CorruptStoreError, RequestError
from consul_kernel.state import CommandType, ReplicatedState, encode_command
from consul_kernel.state.commands import CorruptCommandError, UnknownCommandError
from consul_kernel.state.machine import OutOfOrderError
from consul_kernel.state.snapshot import CHUNK_BYTES
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.kv import DirEntry, KVOp, KVSRequest
from consul_kernel.structs.service import NodeService
from consul_kernel.structs.session import Session
from consul_kernel_memory.store import MemoryStore
from core.state.driver import BytesSource, StateDriver


def set_command(key: bytes, value: bytes = b"v") -> bytes:
    return encode_command(CommandType.KVS, KVSRequest(op=KVOp.SET, dir_ent=DirEntry(key=key, value=value)))


def busy(driver: StateDriver, seed: int, count: int = 300) -> StateDriver:
    """Some of everything, by chance of a seed; some of it refused."""
    rng = random.Random(seed)
    statuses = ["passing", "warning", "critical", ""]
    for _ in range(count):
        node, name = f"n{rng.randrange(4)}", f"s{rng.randrange(3)}"
        session_id = f"aaaaaaaa-0001-0000-0000-00000000000{rng.randrange(4)}"
        match rng.randrange(10):
            case 0 | 1:
                driver.kv(rng.choice([KVOp.SET, KVOp.CAS]), b"k/%d" % rng.randrange(20), rng.randbytes(9))
            case 2:
                driver.kv(rng.choice([KVOp.DELETE, KVOp.DELETE_TREE]), b"k/%d" % rng.randrange(20))
            case 3 | 4:
                service = NodeService(id=f"{name}-{rng.randrange(2)}", service=name, tags=[str(rng.randrange(3))])
                node_id = rng.choice(["", f"aaaaaaaa-0000-0000-0000-00000000000{rng.randrange(4)}"])
                driver.register(
                    RegisterRequest(node=node, address=f"10.0.0.{rng.randrange(3)}", id=node_id, service=service)
                )
            case 5:
                check = HealthCheck(
                    node=node,
                    check_id=f"c{rng.randrange(3)}",
                    status=rng.choice(statuses),
                    service_id=rng.choice(["", f"{name}-0"]),
                )
                driver.register(RegisterRequest(node=node, address="10.0.0.1", check=check))
            case 6:
                driver.place(node, rng.random())
            case 7:
                entry = DirEntry(key=b"k/%d" % rng.randrange(20), value=rng.randbytes(9), session=session_id)
                driver.apply(CommandType.KVS, KVSRequest(op=rng.choice([KVOp.LOCK, KVOp.UNLOCK]), dir_ent=entry))
            case 8:
                session = Session(
                    id=session_id,
                    node=node,
                    behavior=rng.choice(["release", "delete"]),
                    node_checks=rng.choice([None, ["c1"]]),
                    lock_delay=rng.randrange(2),
                )
                if isinstance(driver.create_session(session), RequestError) and not rng.randrange(3):
                    driver.destroy_session(session_id)
            case _:
                ids = {0: {}, 1: {"service_id": f"{name}-1"}, 2: {"check_id": "c1"}}
                driver.deregister(node, **ids[rng.randrange(3)])
    return driver


def index_tables_agree(driver: StateDriver) -> None:
    """Every row of an index leads to its record and back: none is missing, none is left over."""
    dump = driver.dump()
    sizes = {table: len(pairs) for table, pairs in dump.items()}
    assert sizes.get("services.name", 0) == sizes.get("services", 0)
    for table in ("checks.instance", "checks.service", "checks.status"):
        assert sizes.get(table, 0) == sizes.get("checks", 0)
    catalog = driver.state.catalog
    nodes = catalog.nodes()[1]
    assert sizes.get("nodes.id", 0) == sum(1 for node in nodes if node.id)
    for node in nodes:
        if node.id:
            found = catalog.find_node(node.id)
            assert found is not None
            assert found[1].node == node.node
    indexed = {
        name.removeprefix(b"service.").decode() for name, _ in dump.get("index", []) if name.startswith(b"service.")
    }
    assert indexed == set(catalog.services()[1])
    sessions = driver.state.sessions.all()[1]
    assert sizes.get("sessions.node", 0) == sizes.get("sessions", 0) == len(sessions)
    assert sizes.get("sessions.check", 0) == sum(len(session.node_checks or ()) for session in sessions)
    held = [entry.session for entry in driver.state.kv.entries(b"")[1] if entry.session]
    assert sizes.get("kvs.session", 0) == len(held)
    assert set(held) <= {session.id for session in sessions}
    assert sizes.get("tombstones", 0) == sizes.get("tombstones.index", 0)


@pytest.mark.parametrize("seed", range(6))
def test_cached_answers_are_those_of_a_state_that_has_cached_nothing(driver: StateDriver, seed: int) -> None:
    rng = random.Random(seed)
    for step in range(40):
        busy(driver, rng.randrange(1 << 30), 5)
        fresh = ReplicatedState(driver.store)
        for name in ("s0", "s1", "s2"):
            assert driver.state.catalog.check_service_nodes(name) == fresh.catalog.check_service_nodes(name), step
            assert driver.state.catalog.service_nodes(name) == fresh.catalog.service_nodes(name)
        assert driver.state.catalog.nodes() == fresh.catalog.nodes()
        assert driver.state.catalog.services() == fresh.catalog.services()
        for number in range(20):
            assert driver.state.kv.get(b"k/%d" % number) == fresh.kv.get(b"k/%d" % number)
    index_tables_agree(driver)


def test_results_come_in_order_and_a_refused_command_spoils_only_itself(driver: StateDriver) -> None:
    refused = encode_command(CommandType.KVS, KVSRequest(op=KVOp.SET, dir_ent=DirEntry(key=b"")))
    results = driver.state.apply([(1, set_command(b"a")), (3, refused), (4, set_command(b"b"))])
    assert results[0] is True
    assert isinstance(results[1], RequestError)
    assert results[2] is True
    assert driver.state.kv.keys(b"") == (4, [b"a", b"b"])
    assert driver.state.applied_index == 4


def test_a_batch_wakes_nobody_before_it_is_complete(driver: StateDriver) -> None:
    async def scene() -> None:
        watch = driver.state.watches.watch([("kv", b"a")])
        waiting = asyncio.ensure_future(watch.wait(5))
        await asyncio.sleep(0)
        driver.state.apply([(1, set_command(b"a")), (2, set_command(b"b"))])
        assert await waiting
        assert driver.state.kv.max_index() == 2

    asyncio.run(scene())


def test_the_applied_index_is_stored_with_the_batch(driver: StateDriver) -> None:
    driver.state.apply([(7, set_command(b"a"))])
    driver.state.advance(9)
    assert driver.state.applied_index == 9
    assert ReplicatedState(driver.store).applied_index == 7
    driver.state.advance(3)
    assert driver.state.applied_index == 9
    assert driver.state.apply([]) == []


def test_an_entry_is_never_applied_twice(driver: StateDriver) -> None:
    driver.state.apply([(2, set_command(b"a"))])
    with pytest.raises(OutOfOrderError):
        driver.state.apply([(2, set_command(b"a"))])


def test_unknown_commands_are_skipped_only_when_they_allow_it(driver: StateDriver) -> None:
    assert driver.state.apply([(1, bytes([128 + 55]) + b"whatever")]) == [None]
    with pytest.raises(UnknownCommandError, match="type 99"):
        driver.state.apply([(2, set_command(b"a")), (3, bytes([99]))])
    assert driver.state.kv.get(b"a") is None
    assert driver.state.applied_index == 1
    with pytest.raises(UnknownCommandError):
        driver.state.apply([(2, b"")])


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x81\xa2Op\x01", b"\x81\xa2Op\xa1\xff"])
def test_a_damaged_command_stops_the_machine(driver: StateDriver, body: bytes) -> None:
    with pytest.raises(CorruptCommandError):
        driver.state.apply([(1, bytes([CommandType.KVS]) + body)])
    assert driver.state.applied_index == 0


# --- determinism ---


def test_the_same_commands_give_the_same_bytes_however_they_are_batched(driver: StateDriver) -> None:
    busy(driver, 1)
    other = StateDriver(MemoryStore().state)
    rng = random.Random(2)
    entries = list(driver.commands)
    while entries:
        size = rng.randrange(1, 20)
        other.state.apply(entries[:size])
        del entries[:size]
    assert driver.dump() == other.dump()


def test_the_same_commands_give_the_same_bytes_in_every_process() -> None:
    code = (
        "import hashlib\n"
        "from consul_kernel_memory.store import MemoryStore\n"
        "from core.state.driver import StateDriver\n"
        "from core.state.test_machine import busy\n"
        "print(hashlib.sha256(repr(busy(StateDriver(MemoryStore().state), 5).dump()).encode()).hexdigest())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


# --- snapshots ---


def snapshot_bytes(state: ReplicatedState) -> bytes:
    snapshot = state.snapshot()
    try:
        return b"".join(snapshot.chunks())
    finally:
        snapshot.close()


async def test_a_restored_state_equals_the_one_that_was_saved(driver: StateDriver) -> None:
    busy(driver, 3)
    driver.put(b"large", b"x" * (CHUNK_BYTES * 2))
    driver.state.advance(driver.index + 5)
    other = busy(StateDriver(MemoryStore().state), 4, 50)
    other.put(b"only here")
    await other.state.restore(BytesSource(snapshot_bytes(driver.state)))
    assert other.state.applied_index == driver.state.applied_index
    mine, theirs = driver.dump(), other.dump()
    del mine["meta"], theirs["meta"]
    assert mine == theirs
    assert ReplicatedState(other.store).applied_index == driver.index
    for name in ("s0", "s1", "s2"):
        assert other.state.catalog.check_service_nodes(name) == driver.state.catalog.check_service_nodes(name)
    assert other.state.kv.get(b"only here") is None
    index_tables_agree(other)


def test_a_snapshot_does_not_change_with_the_state(driver: StateDriver) -> None:
    driver.put(b"a", b"1")
    before = snapshot_bytes(driver.state)
    snapshot = driver.state.snapshot()
    assert snapshot.index == driver.index
    driver.put(b"a", b"2")
    chunks = list(snapshot.chunks())
    snapshot.close()
    snapshot.close()
    assert b"".join(chunks) == before


def test_commands_may_be_applied_while_a_snapshot_is_read(driver: StateDriver) -> None:
    for number in range(200):
        driver.put(b"%03d" % number, b"y" * 9000)
    before = snapshot_bytes(driver.state)
    snapshot = driver.state.snapshot()
    chunks = []
    for number, chunk in enumerate(snapshot.chunks()):
        chunks.append(chunk)
        driver.kv(KVOp.DELETE, b"%03d" % (number * 7))
        driver.put(b"%03dx" % number, b"new")
    snapshot.close()
    assert len(chunks) > 3
    assert b"".join(chunks) == before


def test_chunks_are_bounded(driver: StateDriver) -> None:
    driver.put(b"large", b"x" * (CHUNK_BYTES * 3))
    for number in range(50):
        driver.put(b"%d" % number, b"y" * 9000)
    snapshot = driver.state.snapshot()
    sizes = [len(chunk) for chunk in snapshot.chunks()]
    snapshot.close()
    assert set(sizes[:-1]) == {CHUNK_BYTES}
    assert 0 < sizes[-1] <= CHUNK_BYTES


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda data: data[:-1], "cut short"),
        (lambda data: data[:40], "cut short"),
        (lambda data: b"NOTHING" + data[7:], "holds no state"),
        (lambda data: data[:7] + b"\x63" + data[8:], "format 99"),
        (lambda data: data[:-1] + b"\x00", "pairs where"),
        (lambda data: data[:16] + b"\xff" + data[17:], "a frame of"),
        (lambda data: data[:20] + b"\xc1" + data[21:], "cannot be decoded"),
    ],
)
async def test_a_restore_that_fails_has_not_happened(driver: StateDriver, damage: object, text: str) -> None:
    busy(driver, 6, 30)
    data = snapshot_bytes(driver.state)
    other = busy(StateDriver(MemoryStore().state), 7, 30)
    before = other.dump()
    with pytest.raises(CorruptStoreError, match=text):
        await other.state.restore(BytesSource(damage(data)))  # type: ignore[operator]
    with pytest.raises(CorruptStoreError, match=text):
        await other.state.verify(BytesSource(damage(data)))  # type: ignore[operator]
    assert other.dump() == before
    assert other.put(b"still works") == other.state.applied_index


async def test_a_snapshot_is_verified_without_being_restored(driver: StateDriver) -> None:
    busy(driver, 6, 30)
    other = busy(StateDriver(MemoryStore().state), 7, 30)
    before, index = other.dump(), other.state.applied_index
    await other.state.verify(BytesSource(snapshot_bytes(driver.state)))
    assert (other.dump(), other.state.applied_index) == (before, index)


async def test_a_key_without_a_value_is_damage(driver: StateDriver) -> None:
    body = msgspec.msgpack.encode(("kv", [b"key"]))
    stream = b"CKSTATE\x01" + bytes(8) + len(body).to_bytes(4, "big") + body + bytes(12)
    with pytest.raises(CorruptStoreError, match="a key without a value"):
        await driver.state.verify(BytesSource(stream))


async def test_readers_see_the_old_state_until_a_restore_is_complete(driver: StateDriver) -> None:
    driver.put(b"a", b"new")
    data = snapshot_bytes(driver.state)
    other = StateDriver(MemoryStore().state)
    other.put(b"a", b"old")
    seen: list[bytes | None] = []

    class Slow(BytesSource):
        async def read(self, max_bytes: int) -> bytes:
            entry = other.state.kv.get(b"a")
            seen.append(entry.value if entry else None)
            return await super().read(max_bytes)

    await other.state.restore(Slow(data, 10))
    assert len(seen) > 3
    assert set(seen) == {b"old"}
    entry = other.state.kv.get(b"a")
    assert entry is not None
    assert entry.value == b"new"
