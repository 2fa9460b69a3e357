"""Checks of going on without a majority that is lost for good (clause 8)."""

from __future__ import annotations

from collections.abc import Awaitable

from consul_kernel.contracts.consensus import RecoverableConsensus, Server
from consul_kernel.contracts.errors import ConsensusError

from .clauses import require, require_raises
from .consensus_quorum import Check, MakeConsensus, Node, Quorum


def _force(node: Node, servers: list[Server]) -> Awaitable[None]:
    assert isinstance(node.running, RecoverableConsensus)
    return node.running.force_configuration(servers)


async def check_8_1_what_is_left_goes_on_as_a_quorum(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=2 * servers - 1) as quorum:
        leader = await quorum.bootstrap()
        behind, *_, current = quorum.followers(leader)
        await leader.running.propose(b"all have it", timeout_ms=5000)
        await quorum.until_equal()
        quorum.crash(behind)
        await leader.running.propose(b"one is behind", timeout_ms=5000)
        await quorum.until_equal([leader, current])
        for node in quorum.alive:
            quorum.crash(node)
        left = [behind.server, current.server]
        for node in (behind, current):
            await quorum.start(node, forced=left)
        successor = await quorum.leader()
        require(successor is current, "8.1: the one that is behind leads")
        require(set(successor.running.configuration.servers) == set(left), "8.1: others are in the quorum")
        await successor.running.propose(b"after", timeout_ms=5000)
        await quorum.until_equal()
        require(behind.commands == [b"all have it", b"one is behind", b"after"], "8.1: commands are lost")
        await quorum.stop(successor)
        await quorum.start(successor)
        require(set(successor.running.configuration.servers) == set(left), "8.1: forgotten after a restart")


async def check_8_2_only_where_there_is_something_to_go_on_from(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=1) as quorum:
        fresh = quorum.add_node()
        await require_raises(
            ConsensusError, quorum.start(fresh, forced=[fresh.server]), "8.2: a server without a log was given a quorum"
        )
        await quorum.stop(fresh)
        node = quorum.nodes[0]
        await quorum.bootstrap_one(node)
        await require_raises(ConsensusError, _force(node, [node.server]), "8.2: the quorum of a running server changed")
        await quorum.stop(node)
        without_vote = [quorum.nonvoter(node)]
        await require_raises(ConsensusError, quorum.start(node, forced=without_vote), "8.2: nobody has a vote")
        await quorum.stop(node)
        await quorum.start(node)
        await quorum.leader([node])


RECOVERY_CHECKS: tuple[Check, ...] = (
    check_8_1_what_is_left_goes_on_as_a_quorum,
    check_8_2_only_where_there_is_something_to_go_on_from,
)
"""What those with the capability `recovery` keep."""
