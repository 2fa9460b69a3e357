"""Sessions: what may be created, what ends one, and what becomes of its locks."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.errors import RequestError
from consul_kernel.state import CommandType
from consul_kernel.state.prepared_queries import put_query, queries
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.kv import DirEntry, KVOp, KVSRequest
from consul_kernel.structs.prepared_query import PreparedQuery
from consul_kernel.structs.service import NodeService
from consul_kernel.structs.session import ServiceCheck, Session
from core.state.driver import StateDriver

A = "aaaaaaaa-0000-0000-0000-000000000001"
B = "bbbbbbbb-0000-0000-0000-000000000002"
SECOND_NS = 1_000_000_000


@pytest.fixture(autouse=True)
def node(driver: StateDriver) -> None:
    driver.register(
        RegisterRequest(
            node="n1",
            address="10.0.0.1",
            service=NodeService(id="web-1", service="web"),
            checks=[
                HealthCheck(node="n1", check_id="alive", status="passing"),
                HealthCheck(node="n1", check_id="web", status="passing", service_id="web-1"),
                HealthCheck(node="n1", check_id="bad", status="critical"),
            ],
        )
    )


def lock(driver: StateDriver, key: bytes, session: str, value: bytes = b"v", op: KVOp = KVOp.LOCK) -> object:
    entry = DirEntry(key=key, value=value, session=session)
    return driver.apply(CommandType.KVS, KVSRequest(op=op, dir_ent=entry))


def entry_of(driver: StateDriver, key: bytes) -> DirEntry:
    entry = driver.state.kv.get(key)
    assert entry is not None
    return entry


def set_status(driver: StateDriver, check_id: str, status: str, service_id: str = "") -> None:
    check = HealthCheck(node="n1", check_id=check_id, status=status, service_id=service_id)
    driver.register(RegisterRequest(node="n1", address="10.0.0.1", check=check))


# --- creating ---


def test_a_session_is_found_by_id_and_by_node_in_any_case(driver: StateDriver) -> None:
    assert driver.create_session(Session(id=A, node="N1", name="mine")) == A
    index, found = driver.state.sessions.get(A.upper())
    assert found == Session(id=A, node="N1", name="mine", behavior="release", create_index=index, modify_index=index)
    assert driver.state.sessions.of_node("n1") == (index, [found])
    assert driver.state.sessions.of_node("n2") == (index, [])
    assert driver.state.sessions.all() == (index, [found])


@pytest.mark.parametrize(
    ("session", "text"),
    [
        (Session(id="", node="n1"), "Missing session ID"),
        (Session(id="nope", node="n1"), "failed session lookup: index error: UUID must be 36 characters"),
        (Session(id=A, node="n2"), "Missing node registration"),
        (Session(id=A, node="n1", behavior="odd"), "Invalid session behavior: odd"),
        (Session(id=A, node="n1", node_checks=["none"]), "Missing check 'none' registration"),
        (Session(id=A, node="n1", checks=["none"]), "Missing check 'none' registration"),
        (Session(id=A, node="n1", service_checks=[ServiceCheck(id="none")]), "Missing check 'none' registration"),
        (Session(id=A, node="n1", node_checks=["alive", "bad"]), "Check 'bad' is in critical state"),
    ],
)
def test_bad_sessions_are_refused_and_leave_no_trace(driver: StateDriver, session: Session, text: str) -> None:
    before = driver.dump()
    result = driver.create_session(session)
    assert isinstance(result, RequestError)
    assert str(result) == text
    assert {**driver.dump(), "meta": []} == {**before, "meta": []}


@pytest.mark.parametrize(
    ("session_id", "problem"),
    [
        ("nope", "UUID must be 36 characters"),
        ("-" * 36, 'UUID should have maximum of 4 "-"; got 36'),
        ("a" * 33 + "---", "Input (without hyphens) must be even length"),
        ("z" + A[1:], "Invalid UUID: encoding/hex: invalid byte: U+007A 'z'"),
        ("\x01" + A[1:], "Invalid UUID: encoding/hex: invalid byte: U+0001"),
    ],
)
def test_an_id_that_cannot_be_one_is_told_of(driver: StateDriver, session_id: str, problem: str) -> None:
    with pytest.raises(RequestError) as raised:
        driver.state.sessions.get(session_id)
    assert str(raised.value) == f"failed session lookup: index error: {problem}"


# --- locks ---


def test_a_lock_is_held_by_one_and_counts_its_holders(driver: StateDriver) -> None:
    driver.create_session(Session(id=A, node="n1"))
    driver.create_session(Session(id=B, node="n1"))
    assert lock(driver, b"k", A, b"1") is True
    created = driver.index
    assert lock(driver, b"k", B, b"2") is False
    assert lock(driver, b"k", A.upper(), b"3") is True
    assert lock(driver, b"k", B, b"4", KVOp.UNLOCK) is False
    entry = entry_of(driver, b"k")
    assert (entry.value, entry.lock_index, entry.create_index) == (b"3", 1, created)
    assert lock(driver, b"k", A, b"5", KVOp.UNLOCK) is True
    entry = entry_of(driver, b"k")
    assert (entry.value, entry.session, entry.lock_index, entry.modify_index) == (b"5", "", 1, driver.index)
    assert lock(driver, b"k", A, b"5", KVOp.UNLOCK) is False
    assert lock(driver, b"k", B, b"6") is True
    assert (entry_of(driver, b"k").session, entry_of(driver, b"k").lock_index) == (B, 2)


def test_locking_again_with_the_same_moves_no_index(driver: StateDriver) -> None:
    driver.create_session(Session(id=A, node="n1"))
    lock(driver, b"k", A)
    before = entry_of(driver, b"k").modify_index
    assert lock(driver, b"k", A) is True
    assert entry_of(driver, b"k").modify_index == before == driver.state.kv.max_index()


def test_a_plain_write_leaves_the_lock_and_forgets_its_count(driver: StateDriver) -> None:
    driver.create_session(Session(id=A, node="n1"))
    lock(driver, b"k", A)
    driver.put(b"k", b"other")
    assert (entry_of(driver, b"k").session, entry_of(driver, b"k").lock_index) == (A, 0)
    driver.destroy_session(A)
    assert (entry_of(driver, b"k").session, entry_of(driver, b"k").value) == ("", b"other")


def test_a_deleted_key_is_nobodys(driver: StateDriver) -> None:
    driver.create_session(Session(id=A, node="n1", behavior="delete"))
    lock(driver, b"k", A)
    driver.kv(KVOp.DELETE, b"k")
    driver.put(b"k")
    driver.destroy_session(A)
    assert entry_of(driver, b"k").session == ""
    assert "kvs.session" not in driver.dump()


# --- ends ---


def test_the_end_releases_in_one_step(driver: StateDriver) -> None:
    driver.create_session(Session(id=A, node="n1", lock_delay=15 * SECOND_NS))
    driver.create_session(Session(id=B, node="n1"))
    for key in (b"k/1", b"k/2"):
        lock(driver, key, A)
    lock(driver, b"k/3", B)
    driver.destroy_session(A)
    entries = driver.state.kv.entries(b"k/")[1]
    assert [(entry.session, entry.modify_index == driver.index) for entry in entries] == [
        ("", True),
        ("", True),
        (B, False),
    ]
    assert [driver.state.lock_delays.holds(key) for key in (b"k/1", b"k/2", b"k/3")] == [True, True, False]
    assert driver.state.sessions.get(A) == (driver.index, None)


def test_the_end_deletes_where_that_is_wished(driver: StateDriver) -> None:
    driver.create_session(Session(id=A, node="n1", behavior="delete", lock_delay=SECOND_NS))
    lock(driver, b"k/1", A)
    driver.put(b"k/2")
    driver.destroy_session(A)
    assert driver.state.kv.keys(b"k/") == (driver.index, [b"k/2"])
    assert driver.state.lock_delays.holds(b"k/1")


def test_no_delay_follows_where_none_is_wished_or_the_lock_was_released(driver: StateDriver) -> None:
    driver.create_session(Session(id=A, node="n1"))
    driver.create_session(Session(id=B, node="n1", lock_delay=SECOND_NS))
    lock(driver, b"a", A)
    lock(driver, b"b", B)
    lock(driver, b"b", B, op=KVOp.UNLOCK)
    driver.destroy_session(A)
    driver.destroy_session(B)
    assert len(driver.state.lock_delays) == 0


@pytest.mark.parametrize("ending", ["critical", "check", "service", "node"])
def test_a_session_ends_with_what_it_depends_on(driver: StateDriver, ending: str) -> None:
    driver.create_session(Session(id=A, node="n1", service_checks=[ServiceCheck(id="Web")]))
    driver.create_session(Session(id=B, node="n1", node_checks=["alive"]))
    lock(driver, b"k", A)
    set_status(driver, "web", "warning", "web-1")
    assert len(driver.state.sessions.all()[1]) == 2
    match ending:
        case "critical":
            set_status(driver, "web", "critical", "web-1")
        case "check":
            driver.deregister("n1", check_id="web")
        case "service":
            driver.deregister("n1", service_id="web-1")
        case _:
            driver.deregister("n1")
    left = [] if ending == "node" else [B]
    assert [session.id for session in driver.state.sessions.all()[1]] == left
    assert entry_of(driver, b"k").session == ""
    assert entry_of(driver, b"k").modify_index == driver.index


def test_a_refused_registration_ends_no_session(driver: StateDriver) -> None:
    driver.create_session(Session(id=A, node="n1", node_checks=["alive"], lock_delay=SECOND_NS))
    lock(driver, b"k", A)
    checks = [
        HealthCheck(node="n1", check_id="alive", status="critical"),
        HealthCheck(node="n1", check_id="x", service_id="none"),
    ]
    assert isinstance(driver.register(RegisterRequest(node="n1", address="10.0.0.1", checks=checks)), RequestError)
    assert entry_of(driver, b"k").session == A
    assert len(driver.state.lock_delays) == 0


def test_prepared_queries_end_with_their_session(driver: StateDriver) -> None:
    driver.create_session(Session(id=A, node="n1"))
    with driver.store.write() as batch:
        put_query(batch, PreparedQuery(id=A, name="bound", session=A))
        put_query(batch, PreparedQuery(id=B, name="free"))
    driver.destroy_session(A)
    assert [query.id for _, query in queries.scan(driver.store)] == [B]
    assert "queries.session" not in driver.dump()


def test_destroying_an_unknown_session_moves_nothing(driver: StateDriver) -> None:
    driver.create_session(Session(id=A, node="n1"))
    index = driver.state.sessions.all()[0]
    assert driver.destroy_session(B) is None
    assert driver.state.sessions.all()[0] == index
    assert isinstance(driver.destroy_session("nope"), RequestError)
