"""Calls to other datacenters: who carries them, who steps in, and what is said when nobody can."""

from __future__ import annotations

import asyncio
import random

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.rpc.errors import RpcTransportError, RpcUnreachableError
from consul_kernel.structs.event import EventFireRequest
from consul_kernel.structs.kv import IndexedDirEntries, KeyRequest, KVSRequest
from consul_kernel.structs.methods import INTERNAL_EVENT_FIRE, KVS_APPLY, KVS_GET, STATUS_LEADER
from consul_kernel.structs.query import DatacenterRequest
from consul_kernel.testing.memory_network import MemoryNetwork
from consul_kernel.testing.virtual_time import run_virtual, virtual_now_ms
from core.rpc.rpc_cluster import Node, make_client, start_servers

READ, WRITE = KeyRequest(datacenter="dc2"), KVSRequest(datacenter="dc2")
STALE = KeyRequest(datacenter="dc2", allow_stale=True)


async def federation(stream_break_ms: float = 5000.0) -> tuple[MemoryNetwork, list[Node], list[Node]]:
    """Three servers of dc1 and three of dc2, the first of each leading, who know each other."""
    network = MemoryNetwork(random.Random(1), stream_break_ms=stream_break_ms)
    here = await start_servers(network, "s1", "s2", "s3")
    there = await start_servers(network, "t1", "t2", "t3", datacenter="dc2", first=21)
    for nodes, others in ((here, there), (there, here)):
        nodes[0].lead(*nodes[1:])
        for node in nodes:
            for other in others:
                node.directory.add(other.entry)
    return network, here, there


def answered_by(reply: IndexedDirEntries) -> str:
    return reply.consistency_level


def test_reads_and_writes_reach_the_leader_there_from_every_agent_here() -> None:
    async def program() -> None:
        network, here, there = await federation()
        client, _ = make_client(network, *here)
        for router in (*(node.router for node in here), client):
            assert answered_by(await router.call(KVS_GET, READ)) == "t1"
            assert await router.call(KVS_APPLY, WRITE) is True
        assert answered_by(await there[1].router.call(KVS_GET, KeyRequest(datacenter="dc1"))) == "s1"
        assert len(there[0].endpoints.calls) == 8

    run_virtual(program())


def test_the_load_is_shared_among_the_servers_there() -> None:
    async def program() -> None:
        _, here, _ = await federation()
        answers = [answered_by(await here[1].router.call(KVS_GET, STALE)) for _ in range(60)]
        assert min(answers.count(name) for name in ("t1", "t2", "t3")) >= 10
        assert await here[1].router.call(STATUS_LEADER, DatacenterRequest(datacenter="dc2")) in ("t1", "t2", "t3")

    run_virtual(program())


def test_a_datacenter_nobody_knows_has_no_path_to_it() -> None:
    async def program() -> None:
        network, here, _ = await federation()
        client, _ = make_client(network, *here)
        with pytest.raises(RpcError, match=r"^No path to datacenter$"):
            await here[1].router.call(KVS_GET, KeyRequest(datacenter="dc9"))
        with pytest.raises(RpcError, match=r"^No path to datacenter$"):
            await client.call(KVS_GET, KeyRequest(datacenter="dc9"))
        assert virtual_now_ms() < 100

    run_virtual(program())


def test_a_datacenter_whose_servers_have_all_failed_is_known_but_out_of_reach() -> None:
    async def program() -> None:
        _, here, there = await federation()
        for node in there:
            here[0].directory.lose("dc2", node.name)
        with pytest.raises(RpcError, match=r"^Remote DC has no server currently reachable$"):
            await here[0].router.call(KVS_GET, READ)
        assert virtual_now_ms() < 100

    run_virtual(program())


def test_an_error_reads_the_same_on_any_number_of_hops() -> None:
    async def program() -> None:
        network, here, there = await federation()
        client, _ = make_client(network, *here)

        async def refuse(request: KVSRequest) -> bool:
            raise RpcError("Must provide key")

        there[0].endpoints.on_apply = refuse
        for node in there[1:]:
            here[1].directory.remove("dc2", node.name)
        with pytest.raises(RpcError, match=r"^Must provide key$"):
            await here[1].router.call(KVS_APPLY, WRITE)
        for node in here:
            node.directory.remove("dc2", "t1")
            node.directory.add(there[1].entry)
            node.directory.remove("dc2", "t3")
        with pytest.raises(RpcError, match=r"^Must provide key$"):
            await here[1].router.call(KVS_APPLY, WRITE)
        with pytest.raises(RpcError, match=r"^Must provide key$"):
            await client.call(KVS_APPLY, WRITE)

    run_virtual(program())


@pytest.mark.parametrize("dead", ["t1", "t2", "t3"])
def test_no_server_there_is_missed_when_it_crashes_between_calls(dead: str) -> None:
    """Even a write is made elsewhere, since nothing of it was sent; where the leader is gone it waits for the next."""

    async def program() -> None:
        network, here, there = await federation()
        for _ in range(10):
            assert answered_by(await here[1].router.call(KVS_GET, READ)) == "t1"
        (victim,) = (node for node in there if node.name == dead)
        network.crash(victim.host)
        await asyncio.sleep(0.01)  # until the resets have arrived
        if dead == "t1":
            asyncio.get_running_loop().call_later(2, there[1].lead, there[2])
        leader = "t2" if dead == "t1" else "t1"
        replies = await asyncio.gather(
            *(here[1].router.call(KVS_GET, READ) for _ in range(50)),
            *(here[2].router.call(KVS_APPLY, WRITE) for _ in range(50)),
        )
        assert {answered_by(reply) for reply in replies[:50] if isinstance(reply, IndexedDirEntries)} == {leader}
        assert set(replies[50:]) == {True}
        assert virtual_now_ms() < 3000

    run_virtual(program())


def test_a_read_that_breaks_off_is_made_elsewhere_and_a_write_is_not() -> None:
    async def program() -> None:
        network, here, there = await federation()
        reached = asyncio.Event()

        async def hang(request: object) -> bool:
            reached.set()
            await asyncio.sleep(3600)
            return True

        for node in there[1:]:
            node.consensus.leader = None  # they hold every call
        here[1].directory.doubt(there[2].entry)
        here[1].directory.doubt(there[1].entry)
        there[0].endpoints.on_get = there[0].endpoints.on_apply = hang  # type: ignore[assignment]
        reading = asyncio.create_task(here[1].router.call(KVS_GET, READ))
        writing = asyncio.create_task(here[1].router.call(KVS_APPLY, WRITE))
        await reached.wait()
        await asyncio.sleep(0.1)
        network.crash(there[0].host)
        with pytest.raises(RpcTransportError) as caught:
            await writing
        assert not isinstance(caught.value, RpcUnreachableError)
        there[1].lead(there[2])
        assert answered_by(await reading) == "t2"
        assert [type(request) for request in there[1].endpoints.calls] == [KeyRequest]
        assert await here[1].router.call(KVS_APPLY, WRITE) is True

    run_virtual(program())


@pytest.mark.parametrize("datacenter", ["dc2", "dc1"])
def test_an_event_that_breaks_off_is_not_fired_again(datacenter: str) -> None:
    """Any server may fire it, but nobody knows whether the one that was asked has done so."""

    async def program() -> None:
        network, here, there = await federation()
        client, _ = make_client(network, *here)
        servers, caller = (there, here[0].router) if datacenter == "dc2" else (here, client)
        for node in servers:
            node.endpoints.fire_s = 3600
        firing = asyncio.create_task(caller.call(INTERNAL_EVENT_FIRE, EventFireRequest(datacenter=datacenter)))
        await asyncio.sleep(1)
        (victim,) = (node for node in servers if node.endpoints.calls)
        network.crash(victim.host)
        with pytest.raises(RpcTransportError) as caught:
            await firing
        assert not isinstance(caught.value, RpcUnreachableError)
        assert sum(len(node.endpoints.calls) for node in servers) == 1

    run_virtual(program())


def test_an_error_is_an_answer_that_ends_the_doubt() -> None:
    async def program() -> None:
        _, here, there = await federation()

        async def refuse(request: KVSRequest) -> bool:
            raise RpcError("Must provide key")

        there[0].endpoints.on_apply = refuse
        for node in there:
            here[0].directory.doubt(node.entry)
        with pytest.raises(RpcError, match="Must provide key"):
            await here[0].router.call(KVS_APPLY, WRITE)
        assert [server.name for server in here[0].directory.doubtful()] == ["t2", "t3"]

    run_virtual(program())


def test_servers_that_refuse_are_tried_until_the_hold_time_is_over() -> None:
    async def program() -> None:
        network, here, there = await federation()
        for node in there:
            network.crash(node.host)
        with pytest.raises(RpcError, match=r"^Remote DC has no server currently reachable$"):
            await here[0].router.call(KVS_APPLY, WRITE)
        assert 6500 <= virtual_now_ms() <= 7000
        again = Node(network.transport(there[2].host), there[2].host, "t3", "dc2")
        asyncio.get_running_loop().call_later(3, again.lead)
        asyncio.get_running_loop().call_later(3, asyncio.ensure_future, again.start())
        assert await here[0].router.call(KVS_APPLY, WRITE) is True
        assert virtual_now_ms() <= 10_600

    run_virtual(program())


def test_a_host_that_takes_no_connection_leaves_time_for_another_and_is_then_avoided() -> None:
    async def program() -> None:
        network, here, there = await federation()
        for silent in there[1:]:
            network.partition(here[0].host, silent.host)
            here[0].directory.trust(silent.entry)
        here[0].directory.doubt(there[0].entry)
        here[0].directory.remove("dc2", "t3")
        assert answered_by(await here[0].router.call(KVS_GET, READ)) == "t1"
        assert 3500 <= virtual_now_ms() < 3600
        for _ in range(20):
            assert answered_by(await here[0].router.call(KVS_GET, READ)) == "t1"
        assert virtual_now_ms() < 3700

    run_virtual(program())


def test_a_host_that_vanishes_while_it_carries_a_read_costs_seconds_not_a_minute() -> None:
    """No reset comes: the call itself makes sure, after three seconds, that the peer is there."""

    async def program() -> None:
        network, here, there = await federation(stream_break_ms=60_000)
        here[0].directory.remove("dc2", "t3")
        here[0].directory.doubt(there[1].entry)
        assert answered_by(await here[0].router.call(KVS_GET, STALE)) == "t1"
        network.partition(here[0].host, there[0].host)
        begun = virtual_now_ms()
        assert answered_by(await here[0].router.call(KVS_GET, STALE)) == "t2"
        assert 7900 < virtual_now_ms() - begun < 8200

    run_virtual(program())


def test_a_slow_answer_is_waited_for_as_long_as_the_peer_gives_signs_of_life() -> None:
    async def program() -> None:
        _, here, there = await federation()

        async def take_long(request: KVSRequest) -> bool:
            await asyncio.sleep(40)
            return True

        there[0].endpoints.on_apply = take_long
        assert await here[0].router.call(KVS_APPLY, WRITE) is True
        assert 40_000 <= virtual_now_ms() < 40_100

    run_virtual(program())


def test_a_server_that_leaves_is_followed_by_another() -> None:
    async def program() -> None:
        _, here, there = await federation()
        for node in there:
            node.consensus.leader = None
        there[0].consensus.is_leader = False
        there[0].router.is_leaving = True
        here[0].directory.doubt(there[1].entry)
        here[0].directory.doubt(there[2].entry)
        asyncio.get_running_loop().call_later(1, there[1].lead, there[2])
        assert await here[0].router.call(KVS_APPLY, WRITE) is True
        assert virtual_now_ms() < 2000

    run_virtual(program())
