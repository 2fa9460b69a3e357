"""Who writes through a follower, then reads there what may be stale, is not told of the past."""

from __future__ import annotations

import random

from consul_kernel.contracts.consensus import LogPosition
from consul_kernel.structs.kv import KeyRequest, KVSRequest
from consul_kernel.structs.methods import KVS_APPLY, KVS_GET
from consul_kernel.testing.memory_network import MemoryNetwork
from consul_kernel.testing.virtual_time import run_virtual
from core.rpc.rpc_cluster import start_servers

STALE = KeyRequest(allow_stale=True)


def test_a_stale_read_waits_once_for_what_was_written_through_this_server() -> None:
    async def scenario() -> None:
        leader, follower, other = await start_servers(MemoryNetwork(random.Random(1)), "s1", "s2", "s3")
        leader.lead(follower, other)
        await follower.router.call(KVS_GET, STALE)
        await follower.router.call(KVS_GET, KeyRequest())
        leader.consensus.position = LogPosition(7, 2)
        await follower.router.call(KVS_APPLY, KVSRequest())
        assert follower.consensus.awaited == []  # a write costs its caller nothing
        for _ in range(2):
            assert (await follower.router.call(KVS_GET, STALE)).consistency_level == "s2"
        assert follower.consensus.awaited == [LogPosition(7, 2)]
        await other.router.call(KVS_GET, STALE)
        assert other.consensus.awaited == []

    run_virtual(scenario())


def test_answers_that_overtake_one_another_leave_the_latest() -> None:
    async def scenario() -> None:
        leader, follower = await start_servers(MemoryNetwork(random.Random(1)), "s1", "s2")
        leader.lead(follower)
        for index in (9, 8):
            leader.consensus.position = LogPosition(index, 2)
            await follower.router.call(KVS_APPLY, KVSRequest())
        await follower.router.call(KVS_GET, STALE)
        assert follower.consensus.awaited == [LogPosition(9, 2)]

    run_virtual(scenario())


def test_positions_of_another_datacenters_log_are_not_ours() -> None:
    async def scenario() -> None:
        network = MemoryNetwork(random.Random(1))
        leader, follower = await start_servers(network, "s1", "s2")
        (far,) = await start_servers(network, "t1", datacenter="dc2", first=11)
        leader.lead(follower)
        far.lead()
        follower.directory.add(far.entry)
        far.consensus.position = LogPosition(1000, 1)
        assert await follower.router.call(KVS_APPLY, KVSRequest(datacenter="dc2")) is True
        assert far.endpoints.calls
        await follower.router.call(KVS_GET, STALE)
        assert follower.consensus.awaited == []

    run_virtual(scenario())
