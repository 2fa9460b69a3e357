"""`Session.*` and `Txn.*`: checks and texts, waiting, and what only the leader may do."""

from __future__ import annotations

import asyncio

import pytest

from consul_kernel.contracts.errors import NotLeaderError, RpcError
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.kv import DirEntry, KeyRequest, KVOp, KVSRequest
from consul_kernel.structs.methods import (
    KVS_APPLY,
    KVS_GET,
    SESSION_APPLY,
    SESSION_GET,
    SESSION_LIST,
    SESSION_NODE_SESSIONS,
    SESSION_RENEW,
    TXN_APPLY,
    TXN_READ,
)
from consul_kernel.structs.node import Node
from consul_kernel.structs.query import NodeSpecificRequest
from consul_kernel.structs.service import NodeService
from consul_kernel.structs.session import Session, SessionOp, SessionRequest, SessionSpecificRequest
from consul_kernel.structs.txn import (
    TxnCheckOp,
    TxnKVOp,
    TxnNodeOp,
    TxnOp,
    TxnReadRequest,
    TxnRequest,
    TxnServiceOp,
)
from core.endpoints.harness import SECOND_NS, Endpoints

UNKNOWN = "aaaaaaaa-0004-0000-0000-000000000001"


@pytest.fixture(autouse=True)
async def node(endpoints: Endpoints) -> None:
    await endpoints.register(
        RegisterRequest(
            node="n1", address="10.0.0.1", check=HealthCheck(node="n1", check_id="serfHealth", status="passing")
        )
    )


async def create(endpoints: Endpoints, **fields: object) -> str:
    session = Session(node="n1", **fields)  # type: ignore[arg-type]
    return await endpoints.call(SESSION_APPLY, SessionRequest(op=SessionOp.CREATE, session=session))


async def destroy(endpoints: Endpoints, session_id: str) -> str:
    request = SessionRequest(op=SessionOp.DESTROY, session=Session(id=session_id))
    return await endpoints.call(SESSION_APPLY, request)


async def lock(endpoints: Endpoints, key: bytes, session: str) -> bool:
    entry = DirEntry(key=key, session=session)
    return await endpoints.call(KVS_APPLY, KVSRequest(op=KVOp.LOCK, dir_ent=entry))


# --- sessions ---


async def test_the_leader_gives_the_id(endpoints: Endpoints) -> None:
    made = await create(endpoints, id=UNKNOWN, name="mine", ttl="10s")
    assert made != UNKNOWN
    reply = await endpoints.call(SESSION_GET, SessionSpecificRequest(session_id=made))
    assert reply.sessions is not None
    assert (reply.sessions[0].name, reply.sessions[0].behavior) == ("mine", "release")
    assert (reply.index, reply.known_leader) == (endpoints.state.applied_index, True)
    old_name = await endpoints.call(SESSION_GET, SessionSpecificRequest(session=made))
    assert old_name.sessions == reply.sessions
    assert (await endpoints.call(SESSION_LIST, SessionSpecificRequest())).sessions == reply.sessions
    assert (await endpoints.call(SESSION_NODE_SESSIONS, NodeSpecificRequest(node="N1"))).sessions == reply.sessions
    assert await destroy(endpoints, made) == ""
    assert (await endpoints.call(SESSION_LIST, SessionSpecificRequest())).sessions is None


@pytest.mark.parametrize(
    ("op", "session", "text"),
    [
        (SessionOp.DESTROY, Session(), "Must provide ID"),
        (SessionOp.CREATE, Session(), "Must provide Node"),
        (SessionOp.CREATE, Session(node="n1", behavior="odd"), "Invalid Behavior setting 'odd'"),
        (
            SessionOp.CREATE,
            Session(node="n1", ttl="soon"),
            "Session TTL 'soon' invalid: time: invalid duration \"soon\"",
        ),
        (
            SessionOp.CREATE,
            Session(node="n1", ttl="9.9s"),
            "Invalid Session TTL '9900000000', must be between [10s=24h0m0s]",
        ),
        (
            SessionOp.CREATE,
            Session(node="n1", ttl="86401s"),
            "Invalid Session TTL '86401000000000', must be between [10s=24h0m0s]",
        ),
        (SessionOp.CREATE, Session(node="n2"), "apply failed: Missing node registration"),
        (
            SessionOp.DESTROY,
            Session(id="nope"),
            "apply failed: failed session lookup: index error: UUID must be 36 characters",
        ),
        ("odd", Session(id=UNKNOWN), "apply failed: Invalid session operation 'odd'"),
    ],
)
async def test_bad_sessions_are_refused(endpoints: Endpoints, op: str, session: Session, text: str) -> None:
    with pytest.raises(RpcError) as raised:
        await endpoints.call(SESSION_APPLY, SessionRequest(op=op, session=session))
    assert str(raised.value) == text


async def test_renewing_is_the_leaders_and_says_whether_there_is_one(endpoints: Endpoints) -> None:
    made = await create(endpoints, ttl="10s")
    reply = await endpoints.call(SESSION_RENEW, SessionSpecificRequest(session_id=made))
    assert [session.id for session in reply.sessions or []] == [made]
    assert (await endpoints.call(SESSION_RENEW, SessionSpecificRequest(session_id=UNKNOWN))).sessions is None
    with pytest.raises(RpcError, match=r"^failed session lookup: index error: UUID must be 36 characters$"):
        await endpoints.call(SESSION_RENEW, SessionSpecificRequest(session_id="nope"))
    endpoints.consensus.is_leader = False
    with pytest.raises(RpcError, match=r"^No cluster leader$"):
        await endpoints.call(SESSION_RENEW, SessionSpecificRequest(session_id=made))


async def test_created_and_renewed_sessions_get_their_time(endpoints: Endpoints) -> None:
    endpoints.session_timers.start()
    try:
        made = await create(endpoints, ttl="10s")
        await create(endpoints)
        assert len(endpoints.session_timers) == 1
        await destroy(endpoints, made)
        assert len(endpoints.session_timers) == 0
    finally:
        endpoints.session_timers.stop()


async def test_a_refused_end_leaves_the_time_running(endpoints: Endpoints) -> None:
    endpoints.session_timers.start()
    try:
        made = await create(endpoints, ttl="10s")
        endpoints.consensus.propose_error = NotLeaderError("not me")
        with pytest.raises(RpcError, match="No cluster leader"):
            await destroy(endpoints, made)
        assert len(endpoints.session_timers) == 1
    finally:
        endpoints.session_timers.stop()


async def test_waits_wake_only_for_what_they_read(endpoints: Endpoints) -> None:
    first, second = await create(endpoints), await create(endpoints)
    index = endpoints.state.sessions.all()[0]
    own = SessionSpecificRequest(session_id=first, min_query_index=index, max_query_time=30 * SECOND_NS)
    other_node = NodeSpecificRequest(node="n2", min_query_index=index, max_query_time=30 * SECOND_NS)
    everything = SessionSpecificRequest(min_query_index=index, max_query_time=30 * SECOND_NS)
    async with (
        endpoints.blocked(SESSION_GET, own) as session,
        endpoints.blocked(SESSION_NODE_SESSIONS, other_node) as nodes,
        endpoints.blocked(SESSION_LIST, everything) as all_sessions,
    ):
        await destroy(endpoints, second)
        assert [one.id for one in (await all_sessions).sessions or []] == [first]
        assert not session.done()
        assert not nodes.done()
        await destroy(endpoints, first)
        assert (await session).sessions is None
        assert not nodes.done()


async def test_the_end_of_a_session_wakes_who_waits_for_its_lock(endpoints: Endpoints) -> None:
    made = await create(endpoints, lock_delay=SECOND_NS)
    assert await lock(endpoints, b"k", made) is True
    request = KeyRequest(key=b"k", min_query_index=endpoints.state.applied_index, max_query_time=30 * SECOND_NS)
    async with endpoints.blocked(KVS_GET, request) as waiting:
        check = HealthCheck(node="n1", check_id="serfHealth", status="critical")
        await endpoints.register(RegisterRequest(node="n1", address="10.0.0.1", check=check))
        assert not waiting.done()
        await destroy(endpoints, made)
        async with asyncio.timeout(5):
            entries = (await waiting).entries
        assert entries is not None
        assert entries[0].session == ""


async def test_a_delayed_lock_is_refused_before_anything_is_proposed(endpoints: Endpoints) -> None:
    first, second = await create(endpoints, lock_delay=30 * SECOND_NS), await create(endpoints)
    await lock(endpoints, b"k", first)
    await destroy(endpoints, first)
    before = endpoints.state.applied_index
    assert await lock(endpoints, b"k", second) is False
    op = TxnOp(kv=TxnKVOp(verb="lock", dir_ent=DirEntry(key=b"k", session=second)))
    answer = await endpoints.call(TXN_APPLY, TxnRequest(ops=[op]))
    assert [error.what for error in answer.errors or []] == ['failed to lock key "k" due to lock delay']
    assert endpoints.state.applied_index == before
    endpoints.state.lock_delays.clear()
    assert await lock(endpoints, b"k", second) is True


# --- transactions ---


async def test_what_is_wrong_in_itself_is_told_before_anything_is_proposed(endpoints: Endpoints) -> None:
    before = endpoints.state.applied_index
    ops = [
        TxnOp(kv=TxnKVOp(verb="set")),
        TxnOp(kv=TxnKVOp(verb="delete-tree")),
        TxnOp(node=TxnNodeOp(verb="set")),
        TxnOp(node=TxnNodeOp(verb="set", node=Node(node="n2", id="odd"))),
        TxnOp(service=TxnServiceOp(verb="set", node="n1", service=NodeService(id="w"))),
        TxnOp(service=TxnServiceOp(verb="delete", node="n1", service=NodeService(id="w"))),
        TxnOp(service=TxnServiceOp(verb="set", node="n1", service=NodeService(service="w", address="0.0.0.0"))),
        TxnOp(check=TxnCheckOp(verb="set", check=HealthCheck(node="n1"))),
    ]
    answer = await endpoints.call(TXN_APPLY, TxnRequest(ops=ops))
    assert answer.results is None
    assert [(error.op_index, error.what) for error in answer.errors or []] == [
        (0, "Must provide key"),
        (2, "Must provide node"),
        (3, "Bad node ID: uuid string is wrong length"),
        (4, "Must provide service name with ID"),
        (5, "Must provide service name with ID"),
        (6, "Invalid service address"),
        (7, "Must provide check ID or name"),
    ]
    assert endpoints.state.applied_index == before


async def test_a_transaction_is_completed_before_it_is_proposed(endpoints: Endpoints) -> None:
    ops = [
        TxnOp(node=TxnNodeOp(verb="set", node=Node(node="n2", address="10.0.0.2"))),
        TxnOp(service=TxnServiceOp(verb="set", node="n2", service=NodeService(service="web"))),
        TxnOp(check=TxnCheckOp(verb="set", check=HealthCheck(node="n2", name="alive", status="passing"))),
    ]
    answer = await endpoints.call(TXN_APPLY, TxnRequest(ops=ops))
    node, service, check = answer.results or []
    assert node.node is not None
    assert service.service is not None
    assert check.check is not None
    assert (node.node.datacenter, service.service.id, check.check.check_id) == ("dc1", "web", "alive")


async def test_a_read_says_how_fresh_it_is_and_may_ask_the_quorum(endpoints: Endpoints) -> None:
    await endpoints.put(b"k", b"v")
    op = TxnOp(kv=TxnKVOp(verb="get", dir_ent=DirEntry(key=b"k")))
    reply = await endpoints.call(TXN_READ, TxnReadRequest(ops=[op]))
    assert [result.kv and result.kv.value for result in reply.results or []] == [b"v"]
    assert (reply.index, reply.known_leader, endpoints.consensus.verified) == (1, True, 0)
    await endpoints.call(TXN_READ, TxnReadRequest(ops=[op], require_consistent=True))
    assert endpoints.consensus.verified == 1
    nothing = await endpoints.call(TXN_READ, TxnReadRequest())
    assert (nothing.results, nothing.errors) == ([], None)
    wrong = await endpoints.call(TXN_READ, TxnReadRequest(ops=[TxnOp(kv=TxnKVOp(verb="get"))]))
    assert [error.what for error in wrong.errors or []] == ["Must provide key"]
