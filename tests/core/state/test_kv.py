from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from consul_kernel.contracts.errors import RequestError
from consul_kernel.state import CommandType
from consul_kernel.state.kv import MAX_KV_KEY_BYTES
from consul_kernel.state.tombstones import tombstones_index
from consul_kernel.structs.kv import DirEntry, KVOp, KVSRequest
from consul_kernel_memory.store import MemoryStore
from core.state.driver import StateDriver


def test_a_key_keeps_its_create_index(driver: StateDriver) -> None:
    created = driver.put(b"a", b"1")
    changed = driver.put(b"a", b"2")
    entry = driver.state.kv.get(b"a")
    assert entry == DirEntry(key=b"a", value=b"2", create_index=created, modify_index=changed)


def test_writing_the_same_again_moves_no_index(driver: StateDriver) -> None:
    first = driver.put(b"a", b"1")
    driver.put(b"a", b"1")
    entry = driver.state.kv.get(b"a")
    assert entry is not None
    assert entry.modify_index == first
    assert driver.state.kv.max_index() == first


def test_an_empty_value_is_no_value(driver: StateDriver) -> None:
    driver.put(b"a", b"")
    entry = driver.state.kv.get(b"a")
    assert entry is not None
    assert entry.value is None


def test_check_and_set_with_zero_only_creates(driver: StateDriver) -> None:
    assert driver.kv(KVOp.CAS, b"a", b"1", cas=0) is True
    assert driver.kv(KVOp.CAS, b"a", b"2", cas=0) is False
    assert driver.kv(KVOp.CAS, b"a", b"3", cas=1) is True
    assert driver.kv(KVOp.CAS, b"a", b"4", cas=1) is False
    assert driver.kv(KVOp.CAS, b"other", b"4", cas=1) is False


def test_check_and_delete_needs_the_index_but_not_the_key(driver: StateDriver) -> None:
    index = driver.put(b"a")
    assert driver.kv(KVOp.DELETE_CAS, b"a", cas=index + 7) is False
    assert driver.kv(KVOp.DELETE_CAS, b"a", cas=0) is False
    assert driver.kv(KVOp.DELETE_CAS, b"a", cas=index) is True
    assert driver.kv(KVOp.DELETE_CAS, b"a", cas=index) is True


def test_a_prefix_has_the_highest_index_under_it(driver: StateDriver) -> None:
    first = driver.put(b"p/a")
    second = driver.put(b"p/b")
    third = driver.put(b"q")
    kv = driver.state.kv
    assert kv.entries(b"p/")[0] == second
    assert kv.entries(b"")[0] == third
    assert kv.entries(b"none/")[0] == third
    driver.kv(KVOp.DELETE, b"p/b")
    index, entries = kv.entries(b"p/")
    assert (index, [entry.key for entry in entries]) == (driver.index, [b"p/a"])
    assert kv.entries(b"q")[0] == third
    assert [entry.modify_index for entry in entries] == [first]


def test_deleting_a_tree_leaves_neighbours(driver: StateDriver) -> None:
    for key in (b"dir/a", b"dir/b", b"dirt", b"other"):
        driver.put(key)
    driver.kv(KVOp.DELETE_TREE, b"dir/")
    deleted = driver.index
    index, keys = driver.state.kv.keys(b"")
    assert (index, keys) == (deleted, [b"dirt", b"other"])
    assert driver.state.kv.keys(b"dir/") == (deleted, [])


def test_deleting_what_is_not_there_moves_nothing(driver: StateDriver) -> None:
    index = driver.put(b"a")
    driver.kv(KVOp.DELETE, b"b")
    driver.kv(KVOp.DELETE_TREE, b"c/")
    assert driver.state.kv.max_index() == index


@pytest.mark.parametrize(
    ("prefix", "separator", "expected"),
    [
        (b"k/", b"/", [b"k/a", b"k/b/", b"k/d/"]),
        (b"k/b", b"/", [b"k/b/"]),
        (b"k", b"/", [b"k/"]),
        (b"k/", b"b", [b"k/a", b"k/b", b"k/d/"]),
        (b"k/", b"", [b"k/a", b"k/b/1", b"k/b/2", b"k/d/"]),
        (b"zz", b"/", []),
    ],
)
def test_keys_are_cut_behind_the_separator(
    driver: StateDriver, prefix: bytes, separator: bytes, expected: list[bytes]
) -> None:
    for key in (b"k/a", b"k/b/1", b"k/b/2", b"k/d/"):
        driver.put(key)
    assert driver.state.kv.keys(prefix, separator)[1] == expected


def test_reaped_tombstones_leave_the_rest(driver: StateDriver) -> None:
    for key in (b"p/a", b"p/b", b"p/c"):
        driver.put(key)
    driver.kv(KVOp.DELETE, b"p/a")
    first = driver.index
    driver.kv(KVOp.DELETE, b"p/b")
    second = driver.index
    assert tombstones_index(driver.store) == second
    driver.reap(first)
    assert [key for key, _ in driver.store.range("tombstones")] == [b"p/b"]
    assert driver.state.kv.entries(b"p/")[0] == second
    driver.reap(second)
    assert list(driver.store.range("tombstones.index")) == []


@pytest.mark.parametrize(
    ("op", "key"),
    [("odd", b"x"), (KVOp.SET, b""), (KVOp.CAS, b""), (KVOp.SET, b"k" * (MAX_KV_KEY_BYTES + 1))],
)
def test_refused_commands_say_why_and_leave_no_trace(driver: StateDriver, op: str, key: bytes) -> None:
    driver.put(b"a")
    before = driver.dump()
    result = driver.apply(CommandType.KVS, KVSRequest(op=op, dir_ent=DirEntry(key=key, value=b"v")))
    assert isinstance(result, RequestError)
    after = driver.dump()
    del before["meta"], after["meta"]
    assert before == after


def test_the_longest_key_can_be_written_and_deleted(driver: StateDriver) -> None:
    key = b"k" * MAX_KV_KEY_BYTES
    driver.put(key)
    assert driver.kv(KVOp.DELETE, key) is True
    assert driver.state.kv.get(key) is None


class KVModel(RuleBasedStateMachine):
    """The KV store against a dict, with Consul's rule for the index of a prefix worked out by hand."""

    keys = st.sampled_from([b"a", b"a/", b"a/b", b"a/b/c", b"ab", b"b", b"\x00", b"\xff"])
    prefixes = keys | st.just(b"")
    values = st.sampled_from([b"", b"1", b"2"])

    def __init__(self) -> None:
        super().__init__()
        self.driver = StateDriver(MemoryStore().state)
        self.entries: dict[bytes, tuple[bytes | None, int, int]] = {}
        self.tombstones: dict[bytes, int] = {}
        self.changed = 0

    @rule(key=keys, value=values)
    def put(self, key: bytes, value: bytes) -> None:
        self.driver.put(key, value)
        self._set(key, value)

    def _set(self, key: bytes, value: bytes) -> None:
        old = self.entries.get(key)
        if old is None or old[0] != (value or None):
            self.changed = self.driver.index
            self.entries[key] = (value or None, old[1] if old else self.changed, self.changed)

    @rule(key=keys, value=values, right=st.booleans())
    def check_and_set(self, key: bytes, value: bytes, right: bool) -> None:
        index = self.entries[key][2] if key in self.entries else 0
        result = self.driver.kv(KVOp.CAS, key, value, cas=index if right else index + 1)
        assert result is right
        if right:
            self._set(key, value)

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        self.driver.kv(KVOp.DELETE, key)
        if self.entries.pop(key, None):
            self.tombstones[key] = self.changed = self.driver.index

    @rule(prefix=prefixes)
    def delete_tree(self, prefix: bytes) -> None:
        self.driver.kv(KVOp.DELETE_TREE, prefix)
        under = [key for key in self.entries if key.startswith(prefix)]
        for key in under:
            del self.entries[key]
        if under:
            self.changed = self.driver.index
            if prefix:
                self.tombstones[prefix] = self.changed

    @rule(back=st.integers(0, 5))
    def reap(self, back: int) -> None:
        up_to = max(self.driver.index - back, 0)
        self.driver.reap(up_to)
        reaped = {key for key, index in self.tombstones.items() if index <= up_to}
        if reaped:
            self.changed = self.driver.index
        self.tombstones = {key: index for key, index in self.tombstones.items() if key not in reaped}

    @invariant()
    def reads_agree(self) -> None:
        kv = self.driver.state.kv
        assert kv.max_index() == self.changed
        for prefix in (b"", b"a", b"a/", b"b", b"\xff"):
            expected = sorted(key for key in self.entries if key.startswith(prefix))
            index, entries = kv.entries(prefix)
            assert [entry.key for entry in entries] == expected
            known = [self.entries[key][2] for key in expected]
            known += [at for key, at in self.tombstones.items() if key.startswith(prefix)]
            assert index == (max(known) if known and prefix else self.changed)
        for key, (value, created, modified) in self.entries.items():
            assert kv.get(key) == DirEntry(key=key, value=value, create_index=created, modify_index=modified)


KVModel.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestKVModel = KVModel.TestCase
