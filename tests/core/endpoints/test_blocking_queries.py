"""Blocking queries: who wakes, who does not, and what they answer."""

from __future__ import annotations

import asyncio

import pytest

from consul_kernel.contracts.errors import LeadershipLostError, NotLeaderError, ProposalTimeoutError, RpcError
from consul_kernel.server.endpoints.blocking import wait_s
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.kv import KeyListRequest, KeyRequest, KVOp
from consul_kernel.structs.methods import (
    CATALOG_LIST_NODES,
    CATALOG_LIST_SERVICES,
    CATALOG_NODE_SERVICES,
    CATALOG_SERVICE_NODES,
    HEALTH_CHECKS_IN_STATE,
    HEALTH_NODE_CHECKS,
    HEALTH_SERVICE_CHECKS,
    HEALTH_SERVICE_NODES,
    KVS_GET,
    KVS_LIST,
    KVS_LIST_KEYS,
)
from consul_kernel.structs.query import (
    ChecksInStateRequest,
    DCSpecificRequest,
    NodeSpecificRequest,
    ServiceSpecificRequest,
)
from consul_kernel.structs.service import NodeService
from core.endpoints.harness import SECOND_NS, Endpoints, settle
from core.state.driver import BytesSource

SHORT_NS = 20_000_000


def web(node: str = "n", port: int = 80, name: str = "web", address: str = "10.0.0.1") -> RegisterRequest:
    return RegisterRequest(node=node, address=address, service=NodeService(service=name, port=port))


def checked(node: str, check_id: str, status: str, service_id: str = "") -> RegisterRequest:
    check = HealthCheck(check_id=check_id, name=check_id, status=status, service_id=service_id)
    return RegisterRequest(node=node, address="10.0.0.1", check=check)


# --- the rules of waiting ---


async def test_a_change_of_the_key_ends_the_wait(endpoints: Endpoints) -> None:
    index = await endpoints.put(b"a", b"1")
    async with endpoints.blocked(KVS_GET, KeyRequest(key=b"a", min_query_index=index)) as waiting:
        changed = await endpoints.put(b"a", b"2")
        reply = await waiting
    assert reply.index == changed
    assert [entry.value for entry in reply.entries or ()] == [b"2"]


async def test_an_old_index_is_answered_at_once(endpoints: Endpoints) -> None:
    first = await endpoints.put(b"a", b"1")
    changed = await endpoints.put(b"a", b"2")
    reply = await endpoints.call(KVS_GET, KeyRequest(key=b"a", min_query_index=first))
    assert reply.index == changed
    assert len(endpoints.state.watches) == 0


async def test_at_the_end_of_its_time_a_query_answers_what_there_is(endpoints: Endpoints) -> None:
    index = await endpoints.put(b"a", b"1")
    request = KeyRequest(key=b"a", min_query_index=index, max_query_time=SHORT_NS)
    loop = asyncio.get_running_loop()
    began = loop.time()
    reply = await endpoints.call(KVS_GET, request)
    assert loop.time() - began >= SHORT_NS / SECOND_NS
    assert (reply.index, len(reply.entries or ())) == (index, 1)
    assert len(endpoints.state.watches) == 0


@pytest.mark.parametrize(
    ("asked_s", "least", "most"), [(0, 300, 318.75), (-5, 300, 318.75), (10, 10, 10.625), (9999, 600, 637.5)]
)
async def test_waits_are_bounded_and_spread(endpoints: Endpoints, asked_s: int, least: float, most: float) -> None:
    request = KeyRequest(max_query_time=asked_s * SECOND_NS)
    waits = [wait_s(endpoints.context, request) for _ in range(50)]
    assert all(least <= wait <= most for wait in waits)
    assert len(set(waits)) > 1


async def test_an_index_is_never_zero(endpoints: Endpoints) -> None:
    assert (await endpoints.call(KVS_GET, KeyRequest(key=b"a"))).index == 1
    assert (await endpoints.call(CATALOG_NODE_SERVICES, NodeSpecificRequest(node="none"))).index == 1
    async with endpoints.blocked(KVS_GET, KeyRequest(key=b"a", min_query_index=1)):
        pass


async def test_absence_outlasts_changes_elsewhere_and_ends_with_creation(endpoints: Endpoints) -> None:
    index = await endpoints.put(b"other")
    async with endpoints.blocked(KVS_GET, KeyRequest(key=b"a", min_query_index=index)) as waiting:
        await endpoints.put(b"other", b"2")
        # Created and deleted in one batch, as far as the waiting task can tell: still absent, so still waiting.
        await endpoints.put(b"a")
        await endpoints.delete(b"a")
        await settle()
        assert not waiting.done()
        created = await endpoints.put(b"a")
        reply = await waiting
    assert reply.index == created


async def test_deleting_the_key_ends_the_wait(endpoints: Endpoints) -> None:
    index = await endpoints.put(b"p/a")
    async with endpoints.blocked(KVS_GET, KeyRequest(key=b"p/a", min_query_index=index)) as waiting:
        deleted = await endpoints.delete(b"p/", KVOp.DELETE_TREE)
        reply = await waiting
    assert (reply.entries, reply.index) == (None, deleted)


async def test_a_cancelled_wait_leaves_nothing_behind(endpoints: Endpoints) -> None:
    index = await endpoints.put(b"a")
    async with endpoints.blocked(KVS_LIST, KeyRequest(key=b"a", min_query_index=index)) as waiting:
        waiting.cancel()
        await settle()
    watches = endpoints.state.watches
    assert (len(watches), watches._waits, watches._prefix_lengths) == (0, {}, {})


async def test_a_restore_ends_every_wait(endpoints: Endpoints) -> None:
    index = await endpoints.put(b"a", b"old")
    snapshot = endpoints.state.snapshot()
    data = b"".join(snapshot.chunks())
    snapshot.close()
    async with endpoints.blocked(KVS_GET, KeyRequest(key=b"a", min_query_index=index)) as waiting:
        await endpoints.state.restore(BytesSource(data))
        reply = await waiting
    assert reply.index == index


async def test_a_consistent_query_asks_the_quorum_before_every_answer(endpoints: Endpoints) -> None:
    index = await endpoints.put(b"a", b"1")
    request = KeyRequest(key=b"a", min_query_index=index, require_consistent=True)
    async with endpoints.blocked(KVS_GET, request) as waiting:
        assert endpoints.consensus.verified == 1
        await endpoints.put(b"a", b"2")
        await waiting
    assert endpoints.consensus.verified == 2


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotLeaderError(), "No cluster leader"),
        (LeadershipLostError(), "No cluster leader"),
        (ProposalTimeoutError(), "Not ready to serve consistent reads"),
    ],
)
async def test_a_consistent_query_fails_without_a_quorum(endpoints: Endpoints, error: Exception, text: str) -> None:
    endpoints.consensus.verify_error = error
    with pytest.raises(RpcError, match=text):
        await endpoints.call(KVS_GET, KeyRequest(key=b"a", require_consistent=True))


async def test_there_is_a_bound_to_blocked_queries(endpoints: Endpoints) -> None:
    endpoints.state.watches._max_watches = 1
    index = await endpoints.put(b"a")
    request = KeyRequest(key=b"a", min_query_index=index)
    async with endpoints.blocked(KVS_GET, request):
        with pytest.raises(RpcError, match="Too many blocking queries"):
            await endpoints.call(KVS_GET, request)


async def test_replies_say_how_fresh_they_are(endpoints: Endpoints) -> None:
    reply = await endpoints.call(KVS_GET, KeyRequest(key=b"a"))
    assert (reply.known_leader, reply.last_contact) == (True, 0)
    endpoints.consensus.is_leader = False
    endpoints.consensus.last_contact_ms = 42
    reply = await endpoints.call(KVS_GET, KeyRequest(key=b"a", allow_stale=True))
    assert (reply.known_leader, reply.last_contact) == (True, 42_000_000)
    endpoints.consensus.leader = None
    reply = await endpoints.call(KVS_GET, KeyRequest(key=b"a", allow_stale=True))
    assert reply.known_leader is False


async def test_an_answer_that_the_caller_has_is_not_sent_again(endpoints: Endpoints) -> None:
    index = await endpoints.register(web())
    request = DCSpecificRequest(min_query_index=index, max_query_time=SHORT_NS, allow_not_modified_response=True)
    nodes = await endpoints.call(CATALOG_LIST_NODES, request)
    services = await endpoints.call(CATALOG_LIST_SERVICES, request)
    assert (nodes.not_modified, nodes.index, nodes.nodes) == (True, index, None)
    assert (services.not_modified, services.index, services.services) == (True, index, None)
    fresh = await endpoints.call(CATALOG_LIST_NODES, DCSpecificRequest(allow_not_modified_response=True))
    assert (fresh.not_modified, len(fresh.nodes or ())) == (False, 1)


# --- who wakes for what ---


async def test_prefixes_wake_for_what_is_under_them_only(endpoints: Endpoints) -> None:
    index = await endpoints.put(b"p/a")
    async with endpoints.blocked(KVS_LIST, KeyRequest(key=b"p/", min_query_index=index)) as waiting:
        await endpoints.put(b"q/a")
        await endpoints.put(b"p")
        await settle()
        assert not waiting.done()
        changed = await endpoints.put(b"p/b")
        assert (await waiting).index == changed
    async with endpoints.blocked(KVS_LIST_KEYS, KeyListRequest(prefix=b"p/", min_query_index=changed)) as listing:
        deleted = await endpoints.delete(b"p/a")
        reply = await listing
    assert (reply.index, reply.keys) == (deleted, [b"p/b"])


async def test_writing_the_same_value_wakes_nobody(endpoints: Endpoints) -> None:
    index = await endpoints.put(b"a", b"1")
    async with endpoints.blocked(KVS_GET, KeyRequest(key=b"a", min_query_index=index)) as waiting:
        await endpoints.put(b"a", b"1")
        await endpoints.put(b"b", b"1")
        await settle()
        assert not waiting.done()


async def test_health_wakes_for_its_service_alone(endpoints: Endpoints) -> None:
    index = await endpoints.register(web())
    changes = [
        checked("n", "c", "critical", "web"),
        checked("n", "node-check", "critical"),
        web(address="10.0.0.9"),
        web(address="10.0.0.9", port=81),
    ]
    for change in changes:
        request = ServiceSpecificRequest(service_name="web", min_query_index=index)
        async with endpoints.blocked(HEALTH_SERVICE_NODES, request) as waiting:
            await endpoints.register(web("m", name="other"))
            await endpoints.register(checked("m", "c", "critical" if index % 2 else "passing", "other"))
            await settle()
            assert not waiting.done()
            index = await endpoints.register(change)
            assert (await waiting).index == index
    async with endpoints.blocked(
        HEALTH_SERVICE_NODES, ServiceSpecificRequest(service_name="web", min_query_index=index)
    ) as waiting:
        gone = await endpoints.deregister(DeregisterRequest(node="n", service_id="web"))
        reply = await waiting
    assert (reply.index, reply.nodes) == (gone, [])


async def test_health_of_a_service_to_come_wakes_with_its_first_instance(endpoints: Endpoints) -> None:
    await endpoints.register(web("m", name="other"))
    index = (await endpoints.call(HEALTH_SERVICE_NODES, ServiceSpecificRequest(service_name="web"))).index
    request = ServiceSpecificRequest(service_name="web", min_query_index=index)
    async with endpoints.blocked(HEALTH_SERVICE_NODES, request) as waiting:
        created = await endpoints.register(web())
        assert (await waiting).index == created


async def test_catalog_reads_of_a_service_ignore_checks(endpoints: Endpoints) -> None:
    index = await endpoints.register(web())
    request = ServiceSpecificRequest(service_name="web", min_query_index=index)
    async with endpoints.blocked(CATALOG_SERVICE_NODES, request) as waiting:
        await endpoints.register(checked("n", "c", "critical", "web"))
        await settle()
        assert not waiting.done()
        changed = await endpoints.register(web(port=9))
        assert (await waiting).index == changed


async def test_node_reads_wake_for_their_node(endpoints: Endpoints) -> None:
    index = await endpoints.register(web())
    async with endpoints.blocked(
        CATALOG_NODE_SERVICES, NodeSpecificRequest(node="n", min_query_index=index)
    ) as waiting:
        await endpoints.register(web("m"))
        await settle()
        assert not waiting.done()
        changed = await endpoints.register(web(port=9))
        assert (await waiting).index == changed


async def test_a_read_of_an_unknown_node_wakes_when_it_comes(endpoints: Endpoints) -> None:
    async with endpoints.blocked(CATALOG_NODE_SERVICES, NodeSpecificRequest(node="n", min_query_index=1)) as waiting:
        await endpoints.register(web("m"))
        await settle()
        assert not waiting.done()
        await endpoints.register(web("n"))
        assert (await waiting).node_services is not None


async def test_lists_of_nodes_and_services_wake(endpoints: Endpoints) -> None:
    index = await endpoints.register(web())
    async with endpoints.blocked(CATALOG_LIST_NODES, DCSpecificRequest(min_query_index=index)) as waiting:
        changed = await endpoints.register(RegisterRequest(node="m", address="10.0.0.2"))
        assert (await waiting).index == changed
    async with endpoints.blocked(CATALOG_LIST_SERVICES, DCSpecificRequest(min_query_index=index)) as listing:
        changed = await endpoints.register(web(name="other"))
        reply = await listing
    assert (reply.index, reply.services) == (changed, {"other": [], "web": []})


async def test_reads_of_checks_wake(endpoints: Endpoints) -> None:
    await endpoints.register(web())
    index = await endpoints.register(checked("n", "c", "passing", "web"))
    async with (
        endpoints.blocked(
            HEALTH_CHECKS_IN_STATE, ChecksInStateRequest(state="critical", min_query_index=index)
        ) as state,
        endpoints.blocked(HEALTH_CHECKS_IN_STATE, ChecksInStateRequest(state="any", min_query_index=index)) as anything,
        endpoints.blocked(HEALTH_NODE_CHECKS, NodeSpecificRequest(node="N", min_query_index=index)) as node,
        endpoints.blocked(
            HEALTH_SERVICE_CHECKS, ServiceSpecificRequest(service_name="Web", min_query_index=index)
        ) as own,
    ):
        await endpoints.register(checked("m", "c", "warning"))
        await settle()
        assert [anything.done(), state.done(), node.done(), own.done()] == [True, False, False, False]
        changed = await endpoints.register(checked("n", "c", "critical", "web"))
        for waiting in (state, node, own):
            assert (await waiting).index == changed


async def test_many_waits_cost_one_wake_each(endpoints: Endpoints) -> None:
    index = await endpoints.put(b"a", b"1")
    requests = [KeyRequest(key=b"a", min_query_index=index) for _ in range(2000)]
    tasks = [asyncio.ensure_future(endpoints.call(KVS_GET, request)) for request in requests]
    others = [
        asyncio.ensure_future(endpoints.call(KVS_GET, KeyRequest(key=b"k%d" % i, min_query_index=index)))
        for i in range(1000)
    ]
    await settle()
    assert len(endpoints.state.watches) == 3000
    changed = await endpoints.put(b"a", b"2")
    replies = await asyncio.gather(*tasks)
    assert {reply.index for reply in replies} == {changed}
    assert len(endpoints.state.watches) == 1000
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert len(endpoints.state.watches) == 0
