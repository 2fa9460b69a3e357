"""Checks that every consensus passes, by the numbered clauses of docs/contracts/consensus.md.

Each check is a coroutine function of a function that makes the consensus; it runs a `Quorum` in memory and is meant
for `run_virtual`, where it takes a fraction of a second. A plugin's suite subclasses `ConsensusContractTests` and gives
it a fixture `make_consensus`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from consul_kernel.contracts.consensus import Consensus, Role, Suffrage
from consul_kernel.contracts.errors import (
    ConsensusError,
    LeadershipLostError,
    NotLeaderError,
    ProposalTimeoutError,
)

from .consensus_quorum import MakeConsensus, Node, Quorum
from .virtual_time import run_virtual, virtual_now_ms

LIMIT_S = 600.0
"""Virtual seconds after which a check counts as stuck."""


class ClauseError(AssertionError):
    """A clause does not hold."""


def require(holds: bool, clause: str) -> None:
    """Raise `ClauseError` with the clause unless it holds."""
    if not holds:
        raise ClauseError(clause)


async def require_raises(error: type[Exception], call: Awaitable[object], clause: str) -> None:
    """Raise `ClauseError` unless the call raises this error."""
    try:
        await call
    except error:
        return
    raise ClauseError(clause)


def _followers(quorum: Quorum, leader: Node) -> list[Node]:
    return [node for node in quorum.alive if node is not leader]


# --- 1 founding ---


async def check_1_1_without_configuration_it_waits(make: MakeConsensus) -> None:
    async with Quorum(make, size=1) as quorum:
        await asyncio.sleep(10)
        consensus = quorum.nodes[0].running
        require(not consensus.is_leader, "1.1: a server without configuration leads")
        require(consensus.configuration.servers == (), "1.1: a configuration out of nowhere")
        await require_raises(NotLeaderError, consensus.propose(b"x", timeout_ms=100), "1.1: it takes a proposal")


async def check_1_2_every_founder_may_found(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        await quorum.bootstrap()
        await quorum.until(
            lambda: len({node.running.configuration.servers for node in quorum.alive}) == 1, "equal configuration"
        )
        require(len(quorum.nodes[0].running.configuration.servers) == 3, "1.2: not all founders are in the quorum")


async def check_1_3_founding_is_refused_where_a_log_exists(make: MakeConsensus) -> None:
    async with Quorum(make, size=1) as quorum:
        node = await quorum.bootstrap()
        await require_raises(ConsensusError, node.running.bootstrap([node.server]), "1.3: founded twice")
        await quorum.stop(node)
        await quorum.start(node)
        await require_raises(ConsensusError, node.running.bootstrap([node.server]), "1.3: founded after a restart")


async def check_1_4_a_single_server_leads_at_once(make: MakeConsensus) -> None:
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


async def check_2_1_a_command_is_applied_everywhere_and_answers(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        results = [await leader.running.propose(b"%d" % number, timeout_ms=5000) for number in range(10)]
        require(results == leader.machine.commands, "2.1: results are not those of apply")
        await quorum.until_equal()
        require(quorum.nodes[0].commands == [b"%d" % number for number in range(10)], "2.1: order was not kept")


async def check_2_2_many_at_once_share_the_flushes(make: MakeConsensus) -> None:
    async with Quorum(make, size=1) as quorum:
        leader = await quorum.bootstrap()
        leader.log.flush_ms = 5
        flushes = leader.log.flushes
        await asyncio.gather(*(leader.running.propose(b"%d" % number, timeout_ms=5000) for number in range(500)))
        require(len(leader.commands) == 500, "2.2: not all were applied")
        require(leader.log.flushes - flushes < 50, "2.2: proposals do not share flushes")


async def check_2_3_a_follower_refuses(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        for follower in _followers(quorum, leader):
            consensus = follower.running
            await require_raises(NotLeaderError, consensus.propose(b"x", timeout_ms=100), "2.3: a follower proposes")
            await require_raises(NotLeaderError, consensus.barrier(timeout_ms=100), "2.3: a follower's barrier")
            await require_raises(NotLeaderError, consensus.verify_leader(timeout_ms=100), "2.3: a follower verifies")
            await require_raises(NotLeaderError, consensus.remove_server(leader.id), "2.3: a follower removes")


async def check_2_4_without_a_quorum_nothing_is_acknowledged(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        for follower in _followers(quorum, leader):
            quorum.crash(follower)
        try:
            await leader.running.propose(b"x", timeout_ms=30_000)
        except (LeadershipLostError, ProposalTimeoutError):
            require(leader.commands == [], "2.4: applied without a quorum")
        else:
            raise ClauseError("2.4: acknowledged without a quorum")
        require(not leader.running.is_leader, "2.4: it still claims to lead")


async def check_2_5_acknowledged_commands_survive_failover_once(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
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
            await quorum.leader()
            await quorum.start(victim)
        await clients
        await quorum.propose(b"last")
        await quorum.until_equal()
        applied = quorum.nodes[0].commands
        require(len(acknowledged) > 50, "2.5: hardly anything was acknowledged")
        require(set(acknowledged) <= set(applied), "2.5: an acknowledged command is lost")
        require(len(applied) == len(set(applied)), "2.5: a command was applied twice")


async def check_2_6_a_barrier_waits_for_what_was_ordered(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        pending = [asyncio.ensure_future(leader.running.propose(b"x", timeout_ms=5000)) for _ in range(20)]
        await asyncio.sleep(0)
        await leader.running.barrier(timeout_ms=5000)
        require(len(leader.commands) == 20, "2.6: the barrier overtook commands")
        await asyncio.gather(*pending)


# --- 3 leadership ---


async def check_3_1_a_lost_leader_is_replaced(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"before", timeout_ms=5000)
        quorum.crash(leader)
        lost_at_ms = virtual_now_ms()
        successor = await quorum.leader()
        require(virtual_now_ms() - lost_at_ms < 5000, "3.1: no leader within 5 s at multiplier 1")
        await successor.running.propose(b"after", timeout_ms=5000)
        require(successor.commands == [b"before", b"after"], "3.1: the successor lacks commands")


async def check_3_2_two_servers_never_lead_at_once(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        for _ in range(5):
            leader = await (quorum.bootstrap() if not quorum.nodes[0].changes else quorum.leader())
            quorum.network.isolate(leader.host)
            others = _followers(quorum, leader)
            while not any(node.running.is_leader for node in others):
                await asyncio.sleep(0.001)
            require(not leader.running.is_leader, "3.2: a leader that was cut off still claims to lead")
            await require_raises(
                ConsensusError, leader.running.verify_leader(timeout_ms=500), "3.2: it can even verify that"
            )
            quorum.network.heal()
            await quorum.until_equal()


async def check_3_3_a_verified_read_sees_what_was_acknowledged(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        for number in range(5):
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
            await leader.running.verify_leader(timeout_ms=5000)
            require(len(leader.commands) == number + 1, "3.3: a verified read misses a command")


async def check_3_4_changes_of_leadership_are_told(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        await quorum.until(
            lambda: all(node.changes and node.changes[-1].leader == leader.server for node in quorum.nodes), "notice"
        )
        require(leader.changes[-1].is_self, "3.4: the leader is not told of itself")
        for follower in _followers(quorum, leader):
            require(not follower.changes[-1].is_self, "3.4: a follower is told that it leads")
            status = follower.running.status()
            require(status.role is Role.FOLLOWER and status.leader == leader.server, "3.4: status disagrees")
        require(leader.running.status().last_contact_ms == 0, "3.4: a leader's last contact is not 0")


async def check_3_5_leadership_is_handed_over(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        target = _followers(quorum, leader)[0]
        await leader.running.transfer_leadership(target.id)
        await quorum.until(lambda: target.running.is_leader, "handover", within_ms=2000)
        await require_raises(
            ConsensusError, target.running.transfer_leadership("nobody"), "3.5: handed over to a stranger"
        )
        await target.running.transfer_leadership()
        successor = await quorum.leader()
        require(successor is not target, "3.5: handed over to itself")


# --- 4 servers ---


async def check_4_1_a_server_is_added_and_catches_up(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"before", timeout_ms=5000)
        node = quorum.add_node()
        await quorum.start(node)
        await leader.running.add_server(quorum.nonvoter(node))
        await quorum.until_equal()
        found = leader.running.configuration.get(node.id)
        require(found is not None and found.suffrage is Suffrage.NONVOTER, "4.1: it has a vote")
        await leader.running.add_server(node.server)
        require(leader.running.configuration.get(node.id) == node.server, "4.1: it got no vote")


async def check_4_2_a_removed_server_no_longer_counts(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        gone, kept = _followers(quorum, leader)
        await leader.running.remove_server(gone.id)
        require(leader.running.configuration.get(gone.id) is None, "4.2: it is still there")
        await quorum.stop(gone)
        await leader.running.propose(b"x", timeout_ms=5000)
        await quorum.until_equal([leader, kept])


async def check_4_3_a_leader_can_remove_itself(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        await leader.running.remove_server(leader.id)
        successor = await quorum.leader(_followers(quorum, leader))
        require(not leader.running.is_leader, "4.3: it still leads")
        require(len(successor.running.configuration.servers) == 2, "4.3: the successor does not know")
        await successor.running.propose(b"x", timeout_ms=5000)


# --- 5 log and snapshots ---


async def check_5_1_a_restarted_server_applies_what_was_committed(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        for number in range(20):
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
        for node in quorum.nodes:
            quorum.crash(node)
        for node in quorum.nodes:
            await quorum.start(node)
        await quorum.leader()
        await quorum.until_equal()
        require(quorum.nodes[0].commands == [b"%d" % number for number in range(20)], "5.1: commands are lost")


async def check_5_2_a_snapshot_shortens_the_log_and_restores(make: MakeConsensus) -> None:
    async with Quorum(make, size=1, trailing_logs=5) as quorum:
        node = await quorum.bootstrap()
        for number in range(50):
            await node.running.propose(b"%d" % number, timeout_ms=5000)
        await node.running.take_snapshot()
        await quorum.until(lambda: node.log.first_index > 20, "compaction")
        quorum.crash(node)
        await quorum.start(node)
        await quorum.leader()
        require(node.commands == [b"%d" % number for number in range(50)], "5.2: the state is not what it was")


async def check_5_3_a_server_far_behind_gets_a_snapshot(make: MakeConsensus) -> None:
    async with Quorum(make, trailing_logs=2) as quorum:
        leader = await quorum.bootstrap()
        behind, other = _followers(quorum, leader)
        quorum.crash(behind)
        for number in range(60):
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
        await quorum.until_equal([leader, other])
        for node in (leader, other):
            await node.running.take_snapshot()
        await quorum.until(lambda: min(leader.log.first_index, other.log.first_index) > 30, "compaction")
        for node in (leader, other):
            await quorum.stop(node)  # what they keep in memory beyond the log is gone
        for node in quorum.nodes:
            await quorum.start(node)
        await quorum.leader()
        await quorum.until_equal()
        require(behind.commands == [b"%d" % number for number in range(60)], "5.3: its state is not what it should be")
        require(bool(behind.snapshots.list()), "5.3: it did not keep the snapshot")
        await quorum.propose(b"after")
        await quorum.until_equal()


async def check_5_4_snapshots_are_taken_by_themselves(make: MakeConsensus) -> None:
    async with Quorum(make, size=1, snapshot_threshold=20, snapshot_interval_ms=500, trailing_logs=0) as quorum:
        node = await quorum.bootstrap()
        for _ in range(100):
            await node.running.propose(b"x", timeout_ms=5000)
        await quorum.until(lambda: bool(node.snapshots.list()), "snapshot", within_ms=5000)


# --- 6 failure and end ---


async def check_6_1_a_log_that_refuses_ends_it(make: MakeConsensus) -> None:
    async with Quorum(make, size=1) as quorum:
        node = await quorum.bootstrap()
        node.log.failing = True
        await require_raises(ConsensusError, node.running.propose(b"x", timeout_ms=5000), "6.1: acknowledged")
        require(len(node.failures) == 1, "6.1: the agent is not told exactly once")
        require(not node.running.is_leader and node.commands == [], "6.1: it goes on")
        await require_raises(ConsensusError, node.running.propose(b"x", timeout_ms=5000), "6.1: it still proposes")


async def check_6_2_a_broken_state_machine_ends_it(make: MakeConsensus) -> None:
    async with Quorum(make, size=1) as quorum:
        node = await quorum.bootstrap()
        node.machine.broken = True
        await require_raises(ConsensusError, node.running.propose(b"x", timeout_ms=5000), "6.2: acknowledged")
        require(len(node.failures) == 1 and not node.running.is_leader, "6.2: it goes on")


async def check_6_3_closing_fails_what_is_pending(make: MakeConsensus) -> None:
    async with Quorum(make) as quorum:
        leader = await quorum.bootstrap()
        for follower in _followers(quorum, leader):
            quorum.crash(follower)
        pending = asyncio.ensure_future(leader.running.propose(b"x", timeout_ms=60_000))
        await asyncio.sleep(0.05)
        consensus: Consensus = leader.running
        await consensus.aclose()
        await require_raises(LeadershipLostError, pending, "6.3: a pending proposal does not fail")
        await consensus.aclose()
        require(not consensus.is_leader, "6.3: it leads after its end")


async def check_6_4_whatever_a_peer_sends_harms_only_its_stream(make: MakeConsensus) -> None:
    async with Quorum(make, size=1) as quorum:
        node = await quorum.bootstrap()
        transport = quorum.network.transport("10.9.9.9")
        for garbage in (
            b"\xff" * 100,
            b"\x00\x80",
            b"\x00\x93\x01\x02\x03",
            b"\x01\xc0",
            b"\x02\x81\xa4Size\xcf",
            b"\x00",
        ):
            stream = await transport.dial(quorum.address(node), timeout_ms=1000)
            stream.write(garbage)
            stream.close_write()
            while await stream.read(1000):
                pass
            stream.close()
        await node.running.propose(b"x", timeout_ms=5000)
        require(node.failures == [], "6.4: a peer's bytes ended the server")


Check = Callable[[MakeConsensus], Awaitable[None]]
CHECKS: tuple[Check, ...] = tuple(value for name, value in sorted(globals().items()) if name.startswith("check_"))
"""Every check, in the order of the clauses."""


def run_check(check: Check, make: MakeConsensus) -> None:
    """Run one check on virtual time."""

    async def body() -> None:
        await check(make)

    run_virtual(body(), limit_s=LIMIT_S)


class ConsensusContractTests:
    """Base of a plugin's suite. The subclass defines a fixture `make_consensus`: ConsensusContext -> Consensus."""

    def test_1_1(self, make_consensus: MakeConsensus) -> None:
        run_check(check_1_1_without_configuration_it_waits, make_consensus)

    def test_1_2(self, make_consensus: MakeConsensus) -> None:
        run_check(check_1_2_every_founder_may_found, make_consensus)

    def test_1_3(self, make_consensus: MakeConsensus) -> None:
        run_check(check_1_3_founding_is_refused_where_a_log_exists, make_consensus)

    def test_1_4(self, make_consensus: MakeConsensus) -> None:
        run_check(check_1_4_a_single_server_leads_at_once, make_consensus)

    def test_2_1(self, make_consensus: MakeConsensus) -> None:
        run_check(check_2_1_a_command_is_applied_everywhere_and_answers, make_consensus)

    def test_2_2(self, make_consensus: MakeConsensus) -> None:
        run_check(check_2_2_many_at_once_share_the_flushes, make_consensus)

    def test_2_3(self, make_consensus: MakeConsensus) -> None:
        run_check(check_2_3_a_follower_refuses, make_consensus)

    def test_2_4(self, make_consensus: MakeConsensus) -> None:
        run_check(check_2_4_without_a_quorum_nothing_is_acknowledged, make_consensus)

    def test_2_5(self, make_consensus: MakeConsensus) -> None:
        run_check(check_2_5_acknowledged_commands_survive_failover_once, make_consensus)

    def test_2_6(self, make_consensus: MakeConsensus) -> None:
        run_check(check_2_6_a_barrier_waits_for_what_was_ordered, make_consensus)

    def test_3_1(self, make_consensus: MakeConsensus) -> None:
        run_check(check_3_1_a_lost_leader_is_replaced, make_consensus)

    def test_3_2(self, make_consensus: MakeConsensus) -> None:
        run_check(check_3_2_two_servers_never_lead_at_once, make_consensus)

    def test_3_3(self, make_consensus: MakeConsensus) -> None:
        run_check(check_3_3_a_verified_read_sees_what_was_acknowledged, make_consensus)

    def test_3_4(self, make_consensus: MakeConsensus) -> None:
        run_check(check_3_4_changes_of_leadership_are_told, make_consensus)

    def test_3_5(self, make_consensus: MakeConsensus) -> None:
        run_check(check_3_5_leadership_is_handed_over, make_consensus)

    def test_4_1(self, make_consensus: MakeConsensus) -> None:
        run_check(check_4_1_a_server_is_added_and_catches_up, make_consensus)

    def test_4_2(self, make_consensus: MakeConsensus) -> None:
        run_check(check_4_2_a_removed_server_no_longer_counts, make_consensus)

    def test_4_3(self, make_consensus: MakeConsensus) -> None:
        run_check(check_4_3_a_leader_can_remove_itself, make_consensus)

    def test_5_1(self, make_consensus: MakeConsensus) -> None:
        run_check(check_5_1_a_restarted_server_applies_what_was_committed, make_consensus)

    def test_5_2(self, make_consensus: MakeConsensus) -> None:
        run_check(check_5_2_a_snapshot_shortens_the_log_and_restores, make_consensus)

    def test_5_3(self, make_consensus: MakeConsensus) -> None:
        run_check(check_5_3_a_server_far_behind_gets_a_snapshot, make_consensus)

    def test_5_4(self, make_consensus: MakeConsensus) -> None:
        run_check(check_5_4_snapshots_are_taken_by_themselves, make_consensus)

    def test_6_1(self, make_consensus: MakeConsensus) -> None:
        run_check(check_6_1_a_log_that_refuses_ends_it, make_consensus)

    def test_6_2(self, make_consensus: MakeConsensus) -> None:
        run_check(check_6_2_a_broken_state_machine_ends_it, make_consensus)

    def test_6_3(self, make_consensus: MakeConsensus) -> None:
        run_check(check_6_3_closing_fails_what_is_pending, make_consensus)

    def test_6_4(self, make_consensus: MakeConsensus) -> None:
        run_check(check_6_4_whatever_a_peer_sends_harms_only_its_stream, make_consensus)
