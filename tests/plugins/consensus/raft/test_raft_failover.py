"""Several drivers in one process, over in-memory streams, on virtual time."""

from __future__ import annotations

import pytest

from consul_kernel.testing.consensus_quorum import Quorum
from consul_kernel.testing.virtual_time import virtual_now_ms
from plugins.consensus.raft.raft_quorum import make, run


def test_three_servers_elect_replicate_and_survive_the_loss_of_the_leader() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        for number in range(20):
            await leader.running.propose(b"before %d" % number, timeout_ms=1000)
        quorum.crash(leader)
        lost_at_ms = virtual_now_ms()
        successor = await quorum.leader()
        assert virtual_now_ms() - lost_at_ms < 3000
        await successor.running.propose(b"after", timeout_ms=1000)
        assert successor.commands == [b"before %d" % number for number in range(20)] + [b"after"]
        await quorum.start(leader)
        await quorum.until_equal()
        assert leader.commands == successor.commands

    run(Quorum(make), scenario)


@pytest.mark.parametrize("seed", range(20))
def test_failover_takes_less_than_three_seconds(seed: int) -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"x", timeout_ms=1000)
        quorum.crash(leader)
        lost_at_ms = virtual_now_ms()
        await quorum.leader()
        assert virtual_now_ms() - lost_at_ms < 3000

    run(Quorum(make, seed=seed), scenario)


def test_a_single_server_leads_at_once() -> None:
    async def scenario(quorum: Quorum) -> None:
        await quorum.bootstrap()
        node = quorum.nodes[0]
        assert virtual_now_ms() < 50
        await node.running.propose(b"x", timeout_ms=1000)
        await quorum.stop(node)
        stopped_ms = virtual_now_ms()
        await quorum.start(node)
        await quorum.leader()
        assert virtual_now_ms() - stopped_ms < 50
        assert node.commands == [b"x"]

    run(Quorum(make, size=1), scenario)
