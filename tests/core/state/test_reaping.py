from __future__ import annotations

from consul_kernel.state.reaping import TombstoneAges
from consul_kernel.structs.kv import KVOp
from core.state.driver import StateDriver


def test_tombstones_are_reaped_a_lifetime_after_they_were_seen() -> None:
    ages = TombstoneAges(ttl_ms=100)
    assert ages.observe(5, 0) == 0
    assert ages.observe(5, 50) == 0
    assert ages.observe(9, 60) == 0
    assert ages.observe(9, 100) == 5
    assert ages.observe(12, 130) == 0
    assert ages.observe(12, 500) == 12
    assert ages.observe(0, 900) == 0


def test_a_state_tells_its_newest_tombstone(driver: StateDriver) -> None:
    assert driver.state.newest_tombstone() == 0
    driver.put(b"a")
    driver.kv(KVOp.DELETE, b"a")
    newest = driver.index
    driver.put(b"b")
    assert driver.state.newest_tombstone() == newest
    driver.reap(newest)
    assert driver.state.newest_tombstone() == 0
