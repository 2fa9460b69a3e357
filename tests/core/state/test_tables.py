"""A record that the store gives back damaged is a damaged store, in words, wherever it is read."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.errors import CorruptStoreError
from consul_kernel.state import ReplicatedState
from core.state.driver import StateDriver


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x81", b"\x90", b"\x81\xa3Key\x90"])
def test_a_damaged_record_is_told_of(driver: StateDriver, damage: bytes) -> None:
    driver.put(b"before")
    driver.put(b"key")
    with driver.store.write() as batch:
        batch.put("kvs", b"key", damage)
    state = ReplicatedState(driver.store)
    assert state.kv.get(b"before") is not None
    for read in (lambda: state.kv.get(b"key"), lambda: state.kv.entries(b"")):
        with pytest.raises(CorruptStoreError, match="damaged record at b'key'"):
            read()
