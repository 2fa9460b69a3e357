"""The same state on every store that comes with the project."""

from __future__ import annotations

from pathlib import Path

from consul_kernel.contracts.errors import RequestError
from consul_kernel.contracts.store import StoreContext
from consul_kernel.state import ReplicatedState
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.service import NodeService
from consul_kernel_disk import create
from consul_kernel_disk.config import DiskConfig
from consul_kernel_memory.store import MemoryStore
from core.state.driver import BytesSource, StateDriver
from core.state.test_machine import busy, snapshot_bytes


async def test_names_that_are_too_long_together_are_refused_and_stop_nobody(tmp_path: Path) -> None:
    store = create(StoreContext(data_dir=tmp_path), DiskConfig())
    await store.start()
    try:
        for driver in (StateDriver(store.state), StateDriver(MemoryStore().state)):
            before = driver.dump()
            for node, name, service_id in ((700, 700, 700), (1505, 20, 9), (9, 1520, 9), (9, 1518, 9), (9, 9, 1510)):
                service = NodeService(id="i" * service_id, service="s" * name)
                result = driver.register(RegisterRequest(node="n" * node, address="10.0.0.1", service=service))
                assert isinstance(result, RequestError)
            check = HealthCheck(node="n", check_id="c" * 700, status="s" * 1000)
            assert isinstance(driver.register(RegisterRequest(node="n", address="x", check=check)), RequestError)
            after = driver.dump()
            del after["meta"]
            assert after == before
            assert driver.put(b"still works") == driver.index
    finally:
        await store.aclose()


async def test_stores_hold_the_same_and_restore_each_others_snapshots(tmp_path: Path) -> None:
    memory = busy(StateDriver(MemoryStore().state), 11, 150)
    store = create(StoreContext(data_dir=tmp_path), DiskConfig())
    await store.start()
    try:
        disk = StateDriver(store.state)
        disk.state.apply(memory.commands)
        assert disk.dump() == memory.dump()
        assert snapshot_bytes(disk.state) == snapshot_bytes(memory.state)
        other = busy(StateDriver(MemoryStore().state), 12, 150)
        await disk.state.restore(BytesSource(snapshot_bytes(other.state)))
        assert disk.dump() == other.dump()
    finally:
        await store.aclose()
    again = create(StoreContext(data_dir=tmp_path), DiskConfig())
    await again.start()
    try:
        state = ReplicatedState(again.state)
        assert state.applied_index == other.index
        assert state.catalog.services() == other.state.catalog.services()
    finally:
        await again.aclose()
