"""Checks of the order that a quorum agrees on: founding, proposals, leadership (clauses 1 to 3)."""

from __future__ import annotations

import asyncio

from consul_kernel.contracts.consensus import Role
from consul_kernel.contracts.errors import (
    ConsensusError,
    LeadershipLostError,
    NotLeaderError,
    ProposalTimeoutError,
)

from .clauses import ClauseError, require, require_raises
from .consensus_quorum import Check, MakeConsensus, Quorum
from .virtual_time import virtual_now_ms

# --- 1 founding ---


async def check_1_1_without_configuration_it_waits(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=1) as quorum:
        await asyncio.sleep(10)
        consensus = quorum.nodes[0].running
        require(not consensus.is_leader, "1.1: a server without configuration leads")
        require(consensus.configuration.servers == (), "1.1: a configuration out of nowhere")
        await require_raises(NotLeaderError, consensus.propose(b"x", timeout_ms=100), "1.1: it takes a proposal")


async def check_1_2_every_founder_may_found(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        await quorum.bootstrap()
        await quorum.until(
            lambda: len({node.running.configuration.servers for node in quorum.alive}) == 1, "equal configuration"
        )
        require(len(quorum.nodes[0].running.configuration.servers) == 3, "1.2: not all founders are in the quorum")


async def check_1_3_founding_is_refused_where_a_log_exists(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=1) as quorum:
        node = await quorum.bootstrap()
        await require_raises(ConsensusError, node.running.bootstrap([node.server]), "1.3: founded twice")
        await quorum.stop(node)
        await quorum.start(node)
        await require_raises(ConsensusError, node.running.bootstrap([node.server]), "1.3: founded after a restart")


async def check_1_4_a_single_server_leads_at_once(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=1) as quorum:
        await quorum.bootstrap()
        require(virtual_now_ms() < 500, "1.4: a single server waits for somebody")
        node = quorum.nodes[0]
        await quorum.stop(node)
        began_ms = virtual_now_ms()
        await quorum.start(node)
        await quorum.leader()
        require(virtual_now_ms() - began_ms < 500, "1.4: a restarted single server waits for somebody")


# --- 2 proposals ---


async def check_2_1_a_command_is_applied_everywhere_and_answers(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        results = [await leader.running.propose(b"%d" % number, timeout_ms=5000) for number in range(10)]
        require(results == leader.machine.commands, "2.1: results are not those of apply")
        await quorum.until_equal()
        require(quorum.nodes[0].commands == [b"%d" % number for number in range(10)], "2.1: order was not kept")


async def check_2_2_many_at_once_share_the_flushes(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=1) as quorum:
        leader = await quorum.bootstrap()
        leader.log.flush_ms = 5
        flushes = leader.log.flushes
        await asyncio.gather(*(leader.running.propose(b"%d" % number, timeout_ms=5000) for number in range(500)))
        require(len(leader.commands) == 500, "2.2: not all were applied")
        require(leader.log.flushes - flushes < 50, "2.2: proposals do not share flushes")


async def check_2_3_a_follower_refuses(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        for follower in quorum.followers(leader):
            consensus = follower.running
            await require_raises(NotLeaderError, consensus.propose(b"x", timeout_ms=100), "2.3: a follower proposes")
            await require_raises(NotLeaderError, consensus.barrier(timeout_ms=100), "2.3: a follower's barrier")
            await require_raises(NotLeaderError, consensus.verify_leader(timeout_ms=100), "2.3: a follower verifies")
            await require_raises(NotLeaderError, consensus.remove_server(leader.id), "2.3: a follower removes")


async def check_2_4_without_a_quorum_nothing_is_acknowledged(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        for follower in quorum.followers(leader):
            quorum.crash(follower)
        try:
            await leader.running.propose(b"x", timeout_ms=30_000)
        except (LeadershipLostError, ProposalTimeoutError):
            require(leader.commands == [], "2.4: applied without a quorum")
        else:
            raise ClauseError("2.4: acknowledged without a quorum")
        require(not leader.running.is_leader, "2.4: it still claims to lead")


async def check_2_5_acknowledged_commands_survive_failover_once(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        await quorum.bootstrap()
        acknowledged: list[bytes] = []

        async def client(name: int) -> None:
            for number in range(40):
                command = b"%d/%d" % (name, number)
                try:
                    leader = await quorum.leader()
                    await leader.running.propose(command, timeout_ms=2000)
                except (ConsensusError, AttributeError, AssertionError):
                    await asyncio.sleep(0.05)  # the outcome is unknown: the client does not repeat it
                else:
                    acknowledged.append(command)
                await asyncio.sleep(0.1)

        clients = asyncio.gather(*(client(name) for name in range(4)))
        for _ in range(2):
            await asyncio.sleep(1)
            victim = await quorum.leader()
            quorum.crash(victim)
            if quorum.alive:
                await quorum.leader()
            await quorum.start(victim)
        await clients
        await quorum.propose(b"last")
        await quorum.until_equal()
        applied = quorum.nodes[0].commands
        require(len(acknowledged) > 50, "2.5: hardly anything was acknowledged")
        require(set(acknowledged) <= set(applied), "2.5: an acknowledged command is lost")
        require(len(applied) == len(set(applied)), "2.5: a command was applied twice")


async def check_2_6_a_barrier_waits_for_what_was_ordered(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        pending = [asyncio.ensure_future(leader.running.propose(b"x", timeout_ms=5000)) for _ in range(20)]
        await asyncio.sleep(0)
        await leader.running.barrier(timeout_ms=5000)
        require(len(leader.commands) == 20, "2.6: the barrier overtook commands")
        await asyncio.gather(*pending)


# --- 3 leadership ---


async def check_3_1_a_lost_leader_is_replaced(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"before", timeout_ms=5000)
        quorum.crash(leader)
        lost_at_ms = virtual_now_ms()
        successor = await quorum.leader()
        require(virtual_now_ms() - lost_at_ms < 5000, "3.1: no leader within 5 s at multiplier 1")
        await successor.running.propose(b"after", timeout_ms=5000)
        require(successor.commands == [b"before", b"after"], "3.1: the successor lacks commands")


async def check_3_2_two_servers_never_lead_at_once(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        for _ in range(5):
            leader = await (quorum.bootstrap() if not quorum.nodes[0].changes else quorum.leader())
            quorum.network.isolate(leader.host)
            others = quorum.followers(leader)
            while not any(node.running.is_leader for node in others):
                await asyncio.sleep(0.001)
            require(not leader.running.is_leader, "3.2: a leader that was cut off still claims to lead")
            await require_raises(
                ConsensusError, leader.running.verify_leader(timeout_ms=500), "3.2: it can even verify that"
            )
            quorum.network.heal()
            await quorum.until_equal()


async def check_3_3_a_verified_read_sees_what_was_acknowledged(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        for number in range(5):
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
            await leader.running.verify_leader(timeout_ms=5000)
            require(len(leader.commands) == number + 1, "3.3: a verified read misses a command")


async def check_3_4_changes_of_leadership_are_told(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        await quorum.until(
            lambda: all(node.changes and node.changes[-1].leader == leader.server for node in quorum.nodes), "notice"
        )
        require(leader.changes[-1].is_self, "3.4: the leader is not told of itself")
        for follower in quorum.followers(leader):
            require(not follower.changes[-1].is_self, "3.4: a follower is told that it leads")
            status = follower.running.status()
            require(status.role is Role.FOLLOWER and status.leader == leader.server, "3.4: status disagrees")
        require(leader.running.status().last_contact_ms == 0, "3.4: a leader's last contact is not 0")


async def check_3_5_leadership_is_handed_over(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        target = quorum.followers(leader)[0]
        await leader.running.transfer_leadership(target.id)
        await quorum.until(lambda: target.running.is_leader, "handover", within_ms=2000)
        await require_raises(
            ConsensusError, target.running.transfer_leadership("nobody"), "3.5: handed over to a stranger"
        )
        await target.running.transfer_leadership()
        successor = await quorum.leader()
        require(successor is not target, "3.5: handed over to itself")


ORDER_CHECKS: tuple[Check, ...] = (
    check_1_1_without_configuration_it_waits,
    check_1_3_founding_is_refused_where_a_log_exists,
    check_1_4_a_single_server_leads_at_once,
    check_2_1_a_command_is_applied_everywhere_and_answers,
    check_2_2_many_at_once_share_the_flushes,
    check_2_5_acknowledged_commands_survive_failover_once,
    check_2_6_a_barrier_waits_for_what_was_ordered,
    check_3_3_a_verified_read_sees_what_was_acknowledged,
    check_3_4_changes_of_leadership_are_told,
)
"""What every consensus keeps, in the order of the clauses."""

MULTI_SERVER_ORDER_CHECKS: tuple[Check, ...] = (
    check_1_2_every_founder_may_found,
    check_2_3_a_follower_refuses,
    check_2_4_without_a_quorum_nothing_is_acknowledged,
    check_3_1_a_lost_leader_is_replaced,
    check_3_2_two_servers_never_lead_at_once,
    check_3_5_leadership_is_handed_over,
)
"""What those with several servers keep besides."""
