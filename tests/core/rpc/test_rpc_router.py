"""Routing: who answers, what is tried again, and what the caller is told when nobody can."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from consul_kernel.contracts.consensus import LogPosition, Server
from consul_kernel.contracts.errors import NotLeaderError, RpcError
from consul_kernel.rpc.errors import RpcTransportError, RpcUnreachableError
from consul_kernel.structs.kv import IndexedDirEntries, KeyRequest, KVSRequest
from consul_kernel.structs.methods import CATALOG_LIST_DATACENTERS, KVS_APPLY, KVS_GET, STATUS_LEADER, STATUS_PING
from consul_kernel.structs.query import DatacenterRequest, QueryOptions
from consul_kernel.structs.record import Empty
from consul_kernel.testing.memory_network import MemoryNetwork
from consul_kernel.testing.virtual_time import run_virtual, virtual_now_ms
from core.rpc.rpc_cluster import Node, make_client, start_servers


async def _three(first: str = "s1", second: str = "s2", third: str = "s3") -> tuple[MemoryNetwork, list[Node]]:
    network = MemoryNetwork(random.Random(1))
    nodes = await start_servers(network, first, second, third)
    nodes[0].lead(*nodes[1:])
    return network, nodes


def _answered_by(reply: IndexedDirEntries) -> str:
    return reply.consistency_level


def test_default_reads_and_writes_go_to_the_leader_from_everywhere() -> None:
    async def program() -> None:
        network, nodes = await _three()
        client, _ = make_client(network, *nodes)
        for router in (nodes[0].router, nodes[1].router, nodes[2].router, client):
            assert _answered_by(await router.call(KVS_GET, KeyRequest())) == "s1"
            assert await router.call(KVS_APPLY, KVSRequest(datacenter="dc1")) is True
        assert len(nodes[0].endpoints.calls) == 8
        assert not nodes[1].endpoints.calls
        assert not nodes[2].endpoints.calls

    run_virtual(program())


def test_only_a_server_that_may_answer_by_itself_answers_at_once() -> None:
    async def program() -> None:
        network, nodes = await _three()
        client, _ = make_client(network, *nodes)
        leader, follower = nodes[0].router, nodes[1].router
        reply = leader.read_at_once(KVS_GET, KeyRequest(datacenter="dc1"))
        assert reply is not None
        assert _answered_by(reply) == "s1, at once"
        stale = follower.read_at_once(KVS_GET, KeyRequest(allow_stale=True))
        assert stale is not None
        assert _answered_by(stale) == "s2, at once"
        assert follower.read_at_once(KVS_GET, KeyRequest()) is None
        assert client.read_at_once(KVS_GET, KeyRequest(allow_stale=True)) is None
        assert leader.read_at_once(KVS_GET, KeyRequest(datacenter="dc2")) is None
        assert leader.read_at_once(KVS_GET, KeyRequest(require_consistent=True)) is None
        assert leader.read_at_once(STATUS_LEADER, DatacenterRequest()) is None
        follower._owe(LogPosition(index=9, term=1))  # what it wrote by the leader is to be seen here first
        assert follower.read_at_once(KVS_GET, KeyRequest(allow_stale=True)) is None

    run_virtual(program())


@pytest.mark.parametrize(("level", "told"), [(logging.DEBUG, 1), (logging.INFO, 0)])
def test_a_forwarded_call_is_a_debug_line(level: int, told: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(level, logger="consul_kernel.rpc.router")

    async def program() -> None:
        _, nodes = await _three()
        for node in nodes[:2]:
            await node.router.call(KVS_GET, KeyRequest())

    run_virtual(program())
    assert [text for text in caplog.messages if text.startswith("KVS.Get is forwarded to ")] == caplog.messages
    assert len(caplog.messages) == told


def test_stale_reads_are_answered_here_once_a_leader_was_heard() -> None:
    async def program() -> None:
        network, nodes = await _three()
        stale = KeyRequest(allow_stale=True)
        assert _answered_by(await nodes[1].router.call(KVS_GET, stale)) == "s2"
        nodes[1].consensus.leader = None
        assert _answered_by(await nodes[1].router.call(KVS_GET, stale)) == "s2"
        (lonely,) = await start_servers(network, "s9", first=9)
        with pytest.raises(RpcError, match=r"^No cluster leader$"):
            await lonely.router.call(KVS_GET, stale)

    run_virtual(program())


def test_route_any_is_answered_by_whoever_is_asked() -> None:
    async def program() -> None:
        network, nodes = await _three()
        nodes[1].consensus.leader = None
        assert await nodes[1].router.call(STATUS_LEADER, DatacenterRequest()) == "s2"
        assert await nodes[1].router.call(STATUS_PING, Empty()) == Empty()
        client, _ = make_client(network, nodes[2])
        assert await client.call(STATUS_LEADER, DatacenterRequest()) == "s3"

    run_virtual(program())


def test_an_error_reads_the_same_on_any_number_of_hops() -> None:
    async def program() -> None:
        network, nodes = await _three()

        async def refuse(request: KVSRequest) -> bool:
            raise RpcError("Must provide key")

        nodes[0].endpoints.on_apply = refuse
        with pytest.raises(RpcError, match=r"^Must provide key$"):
            await nodes[0].router.call(KVS_APPLY, KVSRequest())
        with pytest.raises(RpcError, match=r"^Must provide key$"):
            await nodes[1].router.call(KVS_APPLY, KVSRequest())
        client, _ = make_client(network, nodes[1])
        with pytest.raises(RpcError, match=r"^Must provide key$"):
            await client.call(KVS_APPLY, KVSRequest())
        with pytest.raises(RpcError, match=r"^rpc: can't find method Catalog"):
            await nodes[0].router.call(CATALOG_LIST_DATACENTERS, QueryOptions())

    run_virtual(program())


def test_a_call_that_waits_for_a_leader_goes_on_as_soon_as_there_is_one() -> None:
    """Its pauses have grown to hundreds of milliseconds by then."""

    async def program() -> None:
        network = MemoryNetwork(random.Random(1))
        nodes = await start_servers(network, "s1", "s2", "s3")
        calls = [asyncio.create_task(node.router.call(KVS_APPLY, KVSRequest(datacenter="dc1"))) for node in nodes]
        for number in range(3):
            await asyncio.sleep(1)
            for node in nodes:
                node.router.leader_changed()  # an election begins: still nobody leads
            assert not any(call.done() for call in calls), number
        nodes[0].lead(*nodes[1:])
        began_ms = virtual_now_ms()
        for node in nodes:
            node.router.leader_changed()
        assert await asyncio.gather(*calls) == [True, True, True]
        assert virtual_now_ms() - began_ms < 20

    run_virtual(program())


def test_a_leader_that_is_not_ready_is_asked_again_soon() -> None:
    async def program() -> None:
        _, nodes = await _three()
        nodes[1].consensus.leader, nodes[0].consensus.is_leader = nodes[0].consensus.leader, False
        call = asyncio.create_task(nodes[1].router.call(KVS_APPLY, KVSRequest(datacenter="dc1")))
        await asyncio.sleep(0.03)
        assert not call.done()
        began_ms = virtual_now_ms()
        nodes[0].consensus.is_leader = True
        assert await call is True
        assert virtual_now_ms() - began_ms < 100

    run_virtual(program())


def test_no_leader_is_told_after_the_hold_time() -> None:
    async def program() -> None:
        network = MemoryNetwork(random.Random(1))
        (server,) = await start_servers(network, "s1")
        with pytest.raises(RpcError, match=r"^No cluster leader$"):
            await server.router.call(KVS_APPLY, KVSRequest())
        assert 6500 <= virtual_now_ms() <= 7000
        server.router.is_leaving = True
        before = virtual_now_ms()
        with pytest.raises(RpcError, match=r"^No cluster leader$"):
            await server.router.call(KVS_APPLY, KVSRequest())
        assert virtual_now_ms() == before

    run_virtual(program())


def test_leader_elected_meanwhile_answers() -> None:
    async def program() -> None:
        _, nodes = await _three()
        nodes[0].consensus.is_leader = False
        for node in nodes:
            node.consensus.leader = None
        asyncio.get_running_loop().call_later(3, nodes[2].lead, nodes[0], nodes[1])
        replies = await asyncio.gather(*(node.router.call(KVS_GET, KeyRequest()) for node in nodes))
        assert [_answered_by(reply) for reply in replies] == ["s3"] * 3
        assert 3000 <= virtual_now_ms() <= 3000 + 7000 / 16 + 50

    run_virtual(program())


def test_leadership_lost_before_proposing_is_tried_again_elsewhere() -> None:
    async def program() -> None:
        _, nodes = await _three()

        async def lose(request: KVSRequest) -> bool:
            nodes[0].consensus.is_leader = False
            nodes[1].lead(nodes[0], nodes[2])
            raise NotLeaderError("node is not the leader")

        nodes[0].endpoints.on_apply = lose
        assert await nodes[0].router.call(KVS_APPLY, KVSRequest()) is True
        assert len(nodes[1].endpoints.calls) == 1
        nodes[0].lead(nodes[1], nodes[2])
        nodes[1].consensus.is_leader = False
        assert await nodes[2].router.call(KVS_APPLY, KVSRequest()) is True
        assert len(nodes[1].endpoints.calls) == 2

    run_virtual(program())


def test_a_leader_that_may_not_propose_for_a_moment_holds_the_call() -> None:
    """It holds the lease while it hands over, or its endpoint finds out after a wait that the leadership is gone."""

    async def program() -> None:
        _, nodes = await _three()

        async def hand_over(request: KVSRequest) -> bool:
            nodes[0].endpoints.on_apply = None
            raise RpcError("No cluster leader")

        nodes[0].endpoints.on_apply = hand_over
        assert await nodes[0].router.call(KVS_APPLY, KVSRequest()) is True
        assert len(nodes[0].endpoints.calls) == 2

    run_virtual(program())


def test_crashed_leader_reads_go_on_with_the_next_one_and_unsent_writes_too() -> None:
    async def program() -> None:
        network, nodes = await _three()
        client, _ = make_client(network, *nodes)
        reached = asyncio.Event()

        async def hang(request: KeyRequest) -> IndexedDirEntries:
            reached.set()
            await asyncio.sleep(3600)
            raise AssertionError("never")

        nodes[0].endpoints.on_get = hang
        reading = asyncio.create_task(client.call(KVS_GET, KeyRequest()))
        await reached.wait()
        network.crash(nodes[0].host)
        await asyncio.sleep(0.01)  # until the reset has arrived: a write sent before it would be cut off
        writing = asyncio.create_task(client.call(KVS_APPLY, KVSRequest()))
        await asyncio.sleep(1)
        nodes[1].lead(nodes[2])
        assert _answered_by(await reading) == "s2"
        assert await writing is True
        assert virtual_now_ms() < 2500

    run_virtual(program())


def test_a_write_cut_off_on_its_way_is_not_made_twice() -> None:
    async def program() -> None:
        network, nodes = await _three()
        arrived = asyncio.Event()

        async def hang(request: KVSRequest) -> bool:
            arrived.set()
            await asyncio.sleep(3600)
            return True

        nodes[0].endpoints.on_apply = hang
        writing = asyncio.create_task(nodes[1].router.call(KVS_APPLY, KVSRequest()))
        await arrived.wait()
        nodes[2].lead(nodes[1])
        network.crash(nodes[0].host)
        with pytest.raises(RpcTransportError) as caught:
            await writing
        assert not isinstance(caught.value, RpcUnreachableError)
        assert not nodes[2].endpoints.calls

    run_virtual(program())


def test_client_without_servers_says_so_at_once() -> None:
    async def program() -> None:
        client, _ = make_client(MemoryNetwork(random.Random(1)))
        with pytest.raises(RpcError, match=r"^No known Consul servers$"):
            await client.call(KVS_GET, KeyRequest())
        assert virtual_now_ms() == 0

    run_virtual(program())


def test_client_goes_through_all_servers_at_once_and_gives_up_in_time() -> None:
    async def program() -> None:
        network, nodes = await _three()
        client, _ = make_client(network, *nodes)
        network.crash(nodes[0].host)
        network.crash(nodes[1].host)
        assert await client.call(STATUS_LEADER, DatacenterRequest()) == "s3"
        assert virtual_now_ms() < 50
        network.crash(nodes[2].host)
        await asyncio.sleep(0.01)
        with pytest.raises(RpcUnreachableError, match=r"refused"):
            await client.call(KVS_APPLY, KVSRequest())
        assert 6500 <= virtual_now_ms() <= 7200

    run_virtual(program())


def test_blocking_queries_get_their_time_and_end_all_the_same() -> None:
    async def program() -> None:
        _, nodes = await _three()
        router = nodes[1].router
        ten_seconds = KeyRequest(min_query_index=5, max_query_time=10_000_000_000)
        assert router._timeout_ms(KeyRequest()) == 60_000
        assert router._timeout_ms(ten_seconds) == 10_000 + 625 + 7000 + 60_000
        assert router._timeout_ms(KeyRequest(min_query_index=1)) == 300_000 + 18_750 + 67_000
        assert router._timeout_ms(KeyRequest(min_query_index=1, max_query_time=10**15)) == 600_000 + 37_500 + 67_000

        async def hang(request: KeyRequest) -> IndexedDirEntries:
            await asyncio.sleep(10**6)
            raise AssertionError("never")

        nodes[0].endpoints.on_get = hang
        with pytest.raises(RpcTransportError, match=r"no answer"):
            await router.call(KVS_GET, ten_seconds)

    run_virtual(program())


def test_unusable_leader_address_is_an_error_not_a_crash() -> None:
    async def program() -> None:
        _, nodes = await _three()
        nodes[1].consensus.leader = Server("s1", "nonsense")
        with pytest.raises(RpcError, match=r"unusable address 'nonsense'"):
            await nodes[1].router.call(KVS_GET, KeyRequest())

    run_virtual(program())


def test_blocking_query_outlives_the_server_that_carried_it() -> None:
    async def program() -> None:
        network, nodes = await _three()
        client, _ = make_client(network, *nodes)
        for router in (client, nodes[1].router):
            asked = asyncio.Event()

            async def hang(request: KeyRequest, asked: asyncio.Event = asked) -> IndexedDirEntries:
                asked.set()
                await asyncio.sleep(10**6)
                raise AssertionError("never")

            nodes[0].endpoints.on_get = hang
            nodes[0].lead(*nodes[1:])
            query = asyncio.create_task(router.call(KVS_GET, KeyRequest(min_query_index=7, max_query_time=200 * 10**9)))
            await asked.wait()
            await asyncio.sleep(100)
            nodes[0].consensus.is_leader = False
            await nodes[0].pool.aclose()
            await nodes[0].transport.aclose()
            await asyncio.sleep(3)
            nodes[2].lead(nodes[1])
            assert _answered_by(await query) == "s3"
            nodes[2].consensus.is_leader = False
            nodes[0] = Node(network.transport(nodes[0].host), nodes[0].host, "s1")
            await nodes[0].start()

    run_virtual(program())


def test_an_endpoint_error_does_not_cost_the_server_its_place() -> None:
    async def program() -> None:
        network, nodes = await _three()
        client, pool = make_client(network, *nodes)

        async def refuse(request: KVSRequest) -> bool:
            raise RpcError("Must provide key")

        nodes[0].endpoints.on_apply = refuse
        for _ in range(5):
            with pytest.raises(RpcError, match="Must provide key"):
                await client.call(KVS_APPLY, KVSRequest())
        assert pool.connection_count == 1

    run_virtual(program())
