"""Transactions: whole or not at all, each operation after the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.state import CommandType
from consul_kernel.state.txn import read_txn
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.go_quote import quote
from consul_kernel.structs.kv import DirEntry, KVOp
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService
from consul_kernel.structs.session import Session
from consul_kernel.structs.txn import (
    TxnCheckOp,
    TxnKVOp,
    TxnNodeOp,
    TxnOp,
    TxnRequest,
    TxnResponse,
    TxnServiceOp,
    TxnSessionOp,
)
from consul_kernel_memory.store import MemoryStore
from core.state.driver import StateDriver

A = "aaaaaaaa-0000-0000-0000-000000000001"


def kv(verb: str, key: bytes, value: bytes | None = b"v", *, index: int = 0, session: str = "") -> TxnOp:
    return TxnOp(kv=TxnKVOp(verb=verb, dir_ent=DirEntry(key=key, value=value, modify_index=index, session=session)))


def node(verb: str, name: str, *, index: int = 0, node_id: str = "") -> TxnOp:
    return TxnOp(node=TxnNodeOp(verb=verb, node=Node(node=name, id=node_id, address="10.0.0.1", modify_index=index)))


def service(verb: str, on: str, service_id: str, *, index: int = 0, port: int = 0) -> TxnOp:
    record = NodeService(id=service_id, service="web", port=port, modify_index=index)
    return TxnOp(service=TxnServiceOp(verb=verb, node=on, service=record))


def check(verb: str, on: str, check_id: str, *, index: int = 0, status: str = "passing") -> TxnOp:
    record = HealthCheck(node=on, check_id=check_id, status=status, modify_index=index)
    return TxnOp(check=TxnCheckOp(verb=verb, check=record))


def run(driver: StateDriver, *ops: TxnOp) -> TxnResponse:
    answer = driver.apply(CommandType.TXN, TxnRequest(ops=list(ops)))
    assert isinstance(answer, TxnResponse)
    return answer


def errors_of(answer: Any) -> list[tuple[int, str]]:
    assert answer.results is None
    return [(error.op_index, error.what) for error in answer.errors]


def test_operations_see_what_those_before_them_wrote(driver: StateDriver) -> None:
    answer = run(driver, kv("set", b"a", b"1"), kv("get", b"a"), kv("delete", b"a"), kv("check-not-exists", b"a"))
    assert answer.errors is None
    told = [result.kv for result in answer.results or []]
    assert [entry and entry.value for entry in told] == [None, b"1"]
    assert driver.state.kv.get(b"a") is None


def test_one_error_undoes_all_and_every_error_is_told(driver: StateDriver) -> None:
    driver.put(b"a", b"old")
    before = driver.dump()
    answer = run(driver, kv("set", b"a", b"new"), kv("get", b"none"), kv("cas", b"a", index=1234), kv("set", b"b"))
    assert errors_of(answer) == [
        (1, 'key "none" doesn\'t exist'),
        (2, 'failed to set key "a", index is stale'),
    ]
    assert {**driver.dump(), "meta": []} == {**before, "meta": []}
    assert driver.state.kv.get(b"a") == DirEntry(key=b"a", value=b"old", create_index=1, modify_index=1)


def test_an_undone_transaction_wakes_nobody_and_delays_no_lock(driver: StateDriver) -> None:
    run(driver, node("set", "n1"))
    driver.create_session(Session(id=A, node="n1", lock_delay=10**9))
    run(driver, kv("lock", b"k", session=A))
    end = TxnOp(session=TxnSessionOp(verb="delete", session=Session(id=A)))
    assert errors_of(run(driver, end, kv("get", b"none"))) == [(1, 'key "none" doesn\'t exist')]
    assert not driver.state.lock_delays.holds(b"k")
    assert driver.state.sessions.get(A)[1] is not None
    assert run(driver, end).errors is None
    assert driver.state.lock_delays.holds(b"k")


@pytest.mark.parametrize(
    ("op", "what"),
    [
        (kv("odd", b"a"), 'unknown KV verb "odd"'),
        (kv("get", b"none"), 'key "none" doesn\'t exist'),
        (kv("cas", b"none", index=7), 'failed to set key "none", index is stale'),
        (kv("delete-cas", b"a", index=7), 'failed to delete key "a", index is stale'),
        (kv("unlock", b"a", session=A), 'failed to unlock key "a", lock isn\'t held, or is held by another session'),
        (kv("lock", b"a"), "missing session"),
        (kv("check-session", b"none", session=A), 'failed to check session, key "none" doesn\'t exist'),
        (
            kv("check-session", b"a", session=A),
            f'failed session check for key "a", current session "" != "{A}"',
        ),
        (kv("check-index", b"none", index=7), 'failed to check index, key "none" doesn\'t exist'),
        (kv("check-index", b"a", index=7), 'failed index check for key "a", current modify index 1 != 7'),
        (kv("check-not-exists", b"a"), 'key "a" exists'),
        (node("odd", "n1"), 'unknown Node verb "odd"'),
        (node("get", "n2"), 'node "n2" doesn\'t exist'),
        (node("cas", "n1", index=7), 'failed to set node "n1", index is stale'),
        (node("cas", "n2", index=7), 'failed to set node "n2", index is stale'),
        (node("delete-cas", "n1", index=7), 'failed to delete node "n1", index is stale'),
        (node("delete-cas", "n2"), 'failed to delete node "n2", index is stale'),
        (service("odd", "n1", "w"), 'unknown Service verb "odd"'),
        (service("get", "n1", "x"), 'service "x" on node "n1" doesn\'t exist'),
        (service("set", "n2", "w"), "Missing node registration"),
        (service("cas", "n1", "w", index=7), 'failed to set service "w" on node "n1", index is stale'),
        (service("delete-cas", "n1", "w", index=7), 'failed to delete service "w" on node "n1", index is stale'),
        (check("odd", "n1", "c"), 'unknown Check verb "odd"'),
        (check("get", "n1", "x"), 'check "x" on node "n1" doesn\'t exist'),
        (check("set", "n2", "c"), "Missing node registration"),
        (check("cas", "n1", "c", index=7), 'failed to set check "c" on node "n1", index is stale'),
        (check("delete-cas", "n1", "c", index=7), 'failed to delete check "c" on node "n1", index is stale'),
        (TxnOp(session=TxnSessionOp(verb="odd")), 'unknown Session verb "odd"'),
        (TxnOp(), "no operation specified"),
    ],
)
def test_what_is_refused_says_why(driver: StateDriver, op: TxnOp, what: str) -> None:
    driver.put(b"a")
    driver.register(
        RegisterRequest(
            node="n1",
            address="10.0.0.1",
            service=NodeService(id="w", service="web"),
            check=HealthCheck(node="n1", check_id="c", status="passing"),
        )
    )
    assert errors_of(run(driver, op)) == [(0, what)]


def test_nodes_services_and_checks_are_set_read_and_deleted(driver: StateDriver) -> None:
    answer = run(driver, node("cas", "n1"), service("cas", "n1", "w"), check("cas", "n1", "c", status="warning"))
    index = driver.index
    results = answer.results or []
    told = [result.node or result.service or result.check for result in results]
    assert [record and (record.create_index, record.modify_index) for record in told] == [(index, index)] * 3
    assert driver.state.catalog.check_service_nodes("web")[0] == index
    changed = run(driver, service("cas", "n1", "w", index=index, port=80), check("set", "n1", "c"))
    assert (changed.results or [])[0].service == NodeService(
        id="w",
        service="web",
        port=80,
        weights=driver.state.catalog.check_service_nodes("web")[1][0].service.weights,
        create_index=index,
        modify_index=driver.index,
    )
    reads = [node("get", "N1"), service("get", "n1", "W"), check("get", "n1", "C")]
    read, errors = read_txn(driver.state.reader, reads)
    assert errors is None
    assert [len(read or []), run(driver, *reads).results] == [3, read]
    gone = run(
        driver,
        check("delete-cas", "n1", "c", index=driver.index - 1),
        service("delete", "n1", "w"),
        node("delete", "n1"),
        node("delete", "n1"),
    )
    assert (gone.results, gone.errors) == ([], None)
    assert driver.state.catalog.nodes()[1] == []


def test_a_node_is_found_by_its_id(driver: StateDriver) -> None:
    run(driver, node("set", "n1", node_id=A))
    results, _ = read_txn(driver.state.reader, [node("get", "", node_id=A.upper())])
    assert [result.node and result.node.node for result in results or []] == ["n1"]


def test_a_read_writes_nothing(driver: StateDriver) -> None:
    for op in (kv("set", b"a"), node("set", "n1"), service("delete", "n1", "w"), check("cas", "n1", "c")):
        assert read_txn(driver.state.reader, [op])[1]
    assert read_txn(driver.state.reader, [TxnOp(session=TxnSessionOp(verb="delete"))])[1]
    assert driver.dump() == {}


KEYS = st.sampled_from([b"a", b"b", b"b/c"])
KV_OPS = st.builds(
    kv,
    st.sampled_from(
        ["set", "cas", "delete", "delete-cas", "delete-tree", "get", "get-tree", "check-index", "check-not-exists"]
    ),
    KEYS,
    st.sampled_from([b"1", b"2"]),
    index=st.integers(0, 4),
)


@settings(max_examples=100)
@given(st.lists(st.lists(KV_OPS, min_size=1, max_size=4), max_size=6))
def test_a_transaction_is_its_operations_one_after_the_other_or_nothing(transactions: list[list[TxnOp]]) -> None:
    """Against a second state that gets the writes as single commands, when none of them is refused."""
    whole, single = StateDriver(MemoryStore().state), StateDriver(MemoryStore().state)
    for ops in transactions:
        before = {key: entry.value for key, entry in _entries(whole)}
        answer = run(whole, *ops)
        if answer.errors:
            assert {key: entry.value for key, entry in _entries(whole)} == before
            continue
        for op in ops:
            assert op.kv is not None
            if op.kv.verb in set(KVOp):
                existing = single.state.kv.get(op.kv.dir_ent.key)
                index = existing.modify_index if existing and op.kv.verb.endswith("cas") else 0
                assert single.kv(KVOp(op.kv.verb), op.kv.dir_ent.key, op.kv.dir_ent.value or b"", cas=index) is True
    assert [(key, entry.value) for key, entry in _entries(whole)] == [(key, e.value) for key, e in _entries(single)]


def _entries(driver: StateDriver) -> list[tuple[bytes, DirEntry]]:
    return [(entry.key, entry) for entry in driver.state.kv.entries(b"")[1]]


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a b/é", '"a b/é"'),
        ('say "\\"', '"say \\"\\\\\\""'),
        ("\n\t\x00\x7f", '"\\n\\t\\x00\\x7f"'),
        (b"\xff\xc3\xa9", '"\\xffé"'),
        ("\u200b\U000e0001", '"\\u200b\\U000e0001"'),
    ],
)
def test_texts_are_quoted_as_in_go(text: str | bytes, quoted: str) -> None:
    assert quote(text) == quoted


def test_a_name_that_is_too_long_is_an_error_of_its_operation(driver: StateDriver) -> None:
    assert [number for number, _ in errors_of(run(driver, kv("set", b"a"), node("set", "x" * 1600)))] == [1]
    assert driver.state.kv.get(b"a") is None
