"""What has changed since an index: following the changes gives what a whole read gives, from wherever one begins."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from consul_kernel.state import CommandType
from consul_kernel.state.keys import pack_index
from consul_kernel.state.kv_changes import Changes, changes_under
from consul_kernel.state.restore import RestoreOp, RestoreRequest
from consul_kernel.state.tombstones import tombstones_index
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.kv import DirEntry, KVOp, KVSRequest
from consul_kernel.structs.session import Session
from consul_kernel.structs.txn import TxnKVOp, TxnOp, TxnRequest
from consul_kernel_memory.store import MemoryStore
from core.state.driver import BytesSource, StateDriver

Copy = dict[bytes, DirEntry]


def follow(copy: Copy, changes: Changes) -> Copy:
    """What a client does with an answer."""
    kept = (
        {}
        if changes.is_whole
        else {
            key: entry
            for key, entry in copy.items()
            if key not in changes.deleted and not key.startswith(tuple(changes.deleted_prefixes))
        }
    )
    return kept | {entry.key: entry for entry in changes.entries}


def since(driver: StateDriver, prefix: bytes, index: int) -> Changes:
    return changes_under(driver.state.reader, prefix, index)


def transact(driver: StateDriver, *operations: tuple[str, bytes]) -> None:
    ops = [TxnOp(kv=TxnKVOp(verb=verb, dir_ent=DirEntry(key=key, value=b"t"))) for verb, key in operations]
    driver.apply(CommandType.TXN, TxnRequest(ops=ops))


def restore(driver: StateDriver, rows: dict[str, list[bytes]], index: int) -> None:
    """As the restore of an archive does it."""
    driver.apply(CommandType.RESTORE, RestoreRequest(op=RestoreOp.BEGIN, id="r"))
    driver.apply(CommandType.RESTORE, RestoreRequest(op=RestoreOp.ROWS, id="r", number=0, rows=rows))
    driver.apply(CommandType.RESTORE, RestoreRequest(op=RestoreOp.COMMIT, id="r", number=1, index=index))


def test_only_what_was_written_since_is_told(driver: StateDriver) -> None:
    first = driver.put(b"p/a")
    second = driver.put(b"p/b")
    driver.put(b"q")
    changes = since(driver, b"p/", first)
    assert [entry.key for entry in changes.entries] == [b"p/b"]
    assert (changes.is_whole, changes.index) == (False, driver.index)
    assert since(driver, b"p/", second).entries == []
    assert not since(driver, b"p/", second).has_news


def test_nothing_and_the_future_get_the_whole(driver: StateDriver) -> None:
    driver.put(b"p/a")
    for index in (0, driver.index + 1, 1 << 64):
        changes = since(driver, b"p/", index)
        assert (changes.is_whole, [entry.key for entry in changes.entries]) == (True, [b"p/a"])
        assert since(driver, b"p/", index).has_news


def test_a_deleted_key_is_not_a_deleted_tree(driver: StateDriver) -> None:
    driver.put(b"a")
    index = driver.put(b"ab")
    driver.kv(KVOp.DELETE, b"a")
    changes = since(driver, b"", index)
    assert (changes.deleted, changes.deleted_prefixes) == ([b"a"], [])
    driver.kv(KVOp.DELETE_TREE, b"a")
    changes = since(driver, b"", index)
    assert (changes.deleted, changes.deleted_prefixes) == ([], [b"a"])


def test_a_deleted_tree_is_remembered_when_its_prefix_is_deleted_as_a_key(driver: StateDriver) -> None:
    index = driver.put(b"dir/x")
    driver.kv(KVOp.DELETE_TREE, b"dir/")
    driver.put(b"dir/")
    driver.kv(KVOp.DELETE, b"dir/")
    assert since(driver, b"", index).deleted_prefixes == [b"dir/"]


@pytest.mark.parametrize("tree", [b"", b"a", b"a/", b"a/b"])
def test_a_deleted_tree_above_what_is_read_empties_it(driver: StateDriver, tree: bytes) -> None:
    index = driver.put(b"a/b/c")
    driver.kv(KVOp.DELETE_TREE, tree)
    changes = since(driver, b"a/b/", index)
    assert changes.deleted_prefixes == [b"a/b/"]
    assert since(driver, b"a/b/", index).has_news
    assert not since(driver, b"b", index).has_news or not tree


def test_a_tree_inside_of_another_is_not_told(driver: StateDriver) -> None:
    driver.put(b"a/b/c")
    index = driver.put(b"a/d")
    driver.kv(KVOp.DELETE_TREE, b"a/b/")
    driver.kv(KVOp.DELETE_TREE, b"a/")
    assert since(driver, b"", index).deleted_prefixes == [b"a/"]


def test_what_was_deleted_and_written_again_is_only_written(driver: StateDriver) -> None:
    index = driver.put(b"a")
    driver.kv(KVOp.DELETE, b"a")
    driver.put(b"a", b"again")
    changes = since(driver, b"", index)
    assert ([entry.value for entry in changes.entries], changes.deleted) == ([b"again"], [])


def test_forgotten_deletions_make_the_answer_whole(driver: StateDriver) -> None:
    before = driver.put(b"a")
    driver.kv(KVOp.DELETE, b"a")
    deleted = driver.index
    driver.reap(deleted)
    assert since(driver, b"", before).is_whole
    assert not since(driver, b"", deleted).is_whole


def test_deleting_everything_is_forgotten_too(driver: StateDriver) -> None:
    before = driver.put(b"a")
    driver.kv(KVOp.DELETE_TREE, b"")
    deleted = driver.index
    assert since(driver, b"", before).deleted_prefixes == [b""]
    assert tombstones_index(driver.state.reader) == deleted
    driver.reap(deleted)
    assert tombstones_index(driver.state.reader) == 0
    assert since(driver, b"", before).is_whole


def test_the_horizon_only_rises(driver: StateDriver) -> None:
    driver.put(b"a")
    driver.kv(KVOp.DELETE, b"a")
    driver.put(b"b")
    driver.kv(KVOp.DELETE, b"b")
    deleted = driver.index
    driver.reap(deleted)
    driver.reap(2)
    assert since(driver, b"", deleted - 1).is_whole


def test_a_restored_state_is_told_as_a_whole(driver: StateDriver) -> None:
    index = driver.put(b"a", b"old")
    other = StateDriver(MemoryStore().state)
    other.put(b"a", b"other")
    rows = {name: [part for pair in pairs for part in pair] for name, pairs in other.dump().items() if name != "meta"}
    restore(driver, rows, other.index)
    changes = since(driver, b"", index)
    assert (changes.is_whole, [entry.value for entry in changes.entries]) == (True, [b"other"])
    assert not since(driver, b"", changes.index).is_whole


def test_tombstones_of_an_earlier_version_are_not_trusted(driver: StateDriver) -> None:
    """It did not write down which of them were trees."""
    before = driver.put(b"a/b")
    driver.put(b"c")
    driver.kv(KVOp.DELETE_TREE, b"a/")
    deleted = driver.index
    with driver.store.write() as writer:
        writer.delete("tombstones.horizon", b"index")
        writer.delete("tombstones.trees", pack_index(deleted) + b"a/")
    assert since(driver, b"", before).is_whole
    driver.kv(KVOp.DELETE, b"c")
    assert since(driver, b"", before).is_whole
    assert since(driver, b"", deleted).deleted == [b"c"]


class Followers(RuleBasedStateMachine):
    """Copies of prefixes that follow now and then, each from another index, while everything happens to the state."""

    keys = st.sampled_from([b"a", b"a/", b"a/b", b"a/b/c", b"ab", b"b", b"\x00", b"\xff", b"\xff\xff"])
    prefixes = keys | st.just(b"")
    values = st.sampled_from([b"", b"1", b"2"])

    def __init__(self) -> None:
        super().__init__()
        self.driver = StateDriver(MemoryStore().state)
        self.driver.apply(CommandType.REGISTER, _node())
        self.copies: dict[tuple[bytes, int], tuple[int, Copy]] = {}
        self.archive: tuple[dict[str, list[bytes]], int] | None = None

    @rule(key=keys, value=values)
    def put(self, key: bytes, value: bytes) -> None:
        self.driver.put(key, value)

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        self.driver.kv(KVOp.DELETE, key)

    @rule(prefix=prefixes)
    def delete_tree(self, prefix: bytes) -> None:
        self.driver.kv(KVOp.DELETE_TREE, prefix)

    @rule(
        operations=st.lists(
            st.tuples(st.sampled_from([KVOp.SET, KVOp.DELETE, KVOp.DELETE_TREE, "check-not-exists"]), keys),
            min_size=1,
            max_size=4,
        )
    )
    def transaction(self, operations: list[tuple[str, bytes]]) -> None:
        transact(self.driver, *operations)

    @rule(key=keys, behavior=st.sampled_from(["release", "delete"]))
    def lock_and_lose(self, key: bytes, behavior: str) -> None:
        session = Session(id="6a2b6f0e-0000-0000-0000-000000000001", node="n", behavior=behavior)
        self.driver.create_session(session)
        entry = DirEntry(key=key, value=b"locked", session=session.id)
        self.driver.apply(CommandType.KVS, KVSRequest(op=KVOp.LOCK, dir_ent=entry))
        self.driver.destroy_session(session.id)

    @rule(back=st.integers(0, 6))
    def reap(self, back: int) -> None:
        self.driver.reap(max(self.driver.index - back, 0))

    @rule()
    def archive_it(self) -> None:
        rows = self.driver.dump()
        kept = ("kvs", "index", "nodes", "nodes.id")
        self.archive = (
            {name: [part for pair in rows[name] for part in pair] for name in kept if name in rows},
            self.driver.state.index,
        )

    @rule()
    def restore_it(self) -> None:
        if self.archive is not None:
            restore(self.driver, *self.archive)

    @rule(prefix=prefixes, number=st.integers(0, 1))
    def follow(self, prefix: bytes, number: int) -> None:
        index, copy = self.copies.get((prefix, number), (0, {}))
        changes = since(self.driver, prefix, index)
        assert changes.is_whole or all(entry.modify_index > index for entry in changes.entries), "told again"
        copy = follow(copy, changes)
        assert copy == {entry.key: entry for entry in self.driver.state.kv.entries(prefix)[1]}
        self.copies[prefix, number] = changes.index, copy

    @invariant()
    def nobody_is_told_to_go_back(self) -> None:
        reader = self.driver.state.reader
        assert all(changes_under(reader, prefix, 0).index >= index for (prefix, _), (index, _) in self.copies.items())


def _node() -> RegisterRequest:
    return RegisterRequest(node="n", address="10.0.0.1")


TestFollowers = Followers.TestCase
TestFollowers.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


async def test_a_snapshot_carries_what_is_remembered(driver: StateDriver) -> None:
    first = driver.put(b"a/b")
    driver.put(b"c")
    driver.kv(KVOp.DELETE_TREE, b"a/")
    other = StateDriver(MemoryStore().state)
    snapshot = driver.state.snapshot()
    await other.state.restore(BytesSource(b"".join(snapshot.chunks())))
    snapshot.close()
    assert since(other, b"", first) == since(driver, b"", first)
    assert not since(other, b"", first).is_whole
