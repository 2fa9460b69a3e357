"""Checks of what changes in the life of a quorum: its servers, its log, its end (clauses 4 to 6)."""

from __future__ import annotations

import asyncio

from consul_kernel.contracts.consensus import Consensus, Suffrage
from consul_kernel.contracts.errors import (
    ConsensusError,
    LeadershipLostError,
)

from .clauses import require, require_raises
from .consensus_quorum import Check, MakeConsensus, Quorum

# --- 4 servers ---


async def check_4_1_a_server_is_added_and_catches_up(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
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


async def check_4_2_a_removed_server_no_longer_counts(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        gone, kept = quorum.followers(leader)
        await leader.running.remove_server(gone.id)
        require(leader.running.configuration.get(gone.id) is None, "4.2: it is still there")
        await quorum.stop(gone)
        await leader.running.propose(b"x", timeout_ms=5000)
        await quorum.until_equal([leader, kept])


async def check_4_3_a_leader_can_remove_itself(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        await leader.running.remove_server(leader.id)
        successor = await quorum.leader(quorum.followers(leader))
        require(not leader.running.is_leader, "4.3: it still leads")
        require(len(successor.running.configuration.servers) == 2, "4.3: the successor does not know")
        await successor.running.propose(b"x", timeout_ms=5000)


# --- 5 log and snapshots ---


async def check_5_1_a_restarted_server_applies_what_was_committed(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
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


async def check_5_2_a_snapshot_shortens_the_log_and_restores(make: MakeConsensus, servers: int) -> None:
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


async def check_5_3_a_server_far_behind_gets_a_snapshot(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers, trailing_logs=2) as quorum:
        leader = await quorum.bootstrap()
        behind, other = quorum.followers(leader)
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


async def check_5_4_snapshots_are_taken_by_themselves(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=1, snapshot_threshold=20, snapshot_interval_ms=500, trailing_logs=0) as quorum:
        node = await quorum.bootstrap()
        for _ in range(100):
            await node.running.propose(b"x", timeout_ms=5000)
        await quorum.until(lambda: bool(node.snapshots.list()), "snapshot", within_ms=5000)


# --- 6 failure and end ---


async def check_6_1_a_log_that_refuses_ends_it(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=1) as quorum:
        node = await quorum.bootstrap()
        node.log.failing = True
        await require_raises(ConsensusError, node.running.propose(b"x", timeout_ms=5000), "6.1: acknowledged")
        require(len(node.failures) == 1, "6.1: the agent is not told exactly once")
        require(not node.running.is_leader and node.commands == [], "6.1: it goes on")
        await require_raises(ConsensusError, node.running.propose(b"x", timeout_ms=5000), "6.1: it still proposes")


async def check_6_2_a_broken_state_machine_ends_it(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=1) as quorum:
        node = await quorum.bootstrap()
        node.machine.broken = True
        await require_raises(ConsensusError, node.running.propose(b"x", timeout_ms=5000), "6.2: acknowledged")
        require(len(node.failures) == 1 and not node.running.is_leader, "6.2: it goes on")


async def check_6_3_closing_fails_what_is_pending(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        for node in quorum.nodes:
            node.log.flush_ms = 120_000
        pending = asyncio.ensure_future(leader.running.propose(b"x", timeout_ms=60_000))
        await asyncio.sleep(0.05)
        consensus: Consensus = leader.running
        await consensus.aclose()
        await require_raises(LeadershipLostError, pending, "6.3: a pending proposal does not fail")
        await consensus.aclose()
        require(not consensus.is_leader, "6.3: it leads after its end")


async def check_6_4_whatever_a_peer_sends_harms_only_its_stream(make: MakeConsensus, servers: int) -> None:
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


async def check_6_5_a_full_disk_refuses_and_goes_on(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        await quorum.bootstrap()
        for part in ("log", "machine"):
            leader = await quorum.leader()
            full = getattr(leader, part)
            full.full = True
            pending = asyncio.ensure_future(leader.running.propose(b"refused", timeout_ms=3000))
            await require_raises(ConsensusError, pending, f"6.5: acknowledged with a full {part}")
            if servers > 1:
                successor = await quorum.leader(quorum.followers(leader))
                await successor.running.propose(b"elsewhere", timeout_ms=5000)
            require(not leader.running.is_leader or servers == 1, f"6.5: it leads with a full {part}")
            full.full = False
            await quorum.propose(b"after")
            await quorum.until_equal()
        require(not any(node.failures for node in quorum.nodes), "6.5: the agent is stopped")


# --- 7 one server ---


async def check_7_1_one_server_stays_alone(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        node, stranger = quorum.nodes[0], quorum.add_node()
        consensus = node.running
        await require_raises(
            ConsensusError, consensus.bootstrap([node.server, stranger.server]), "7.1: founded with another server"
        )
        await quorum.bootstrap_one(node)
        for change, what in (
            (consensus.add_server(stranger.server), "7.1: another server was added"),
            (consensus.remove_server(node.id), "7.1: it removed itself"),
            (consensus.transfer_leadership(), "7.1: leadership was handed to nobody"),
        ):
            await require_raises(ConsensusError, change, what)
        require(consensus.configuration.servers == (node.server,), "7.1: there are other servers")
        await consensus.add_server(node.server)
        await consensus.propose(b"x", timeout_ms=5000)
        require(node.commands == [b"x"], "7.1: a refusal cost it its commands")


LIFE_CHECKS: tuple[Check, ...] = (
    check_5_1_a_restarted_server_applies_what_was_committed,
    check_5_2_a_snapshot_shortens_the_log_and_restores,
    check_5_4_snapshots_are_taken_by_themselves,
    check_6_1_a_log_that_refuses_ends_it,
    check_6_2_a_broken_state_machine_ends_it,
    check_6_3_closing_fails_what_is_pending,
    check_6_4_whatever_a_peer_sends_harms_only_its_stream,
    check_6_5_a_full_disk_refuses_and_goes_on,
)
"""What every consensus keeps, in the order of the clauses."""

MULTI_SERVER_LIFE_CHECKS: tuple[Check, ...] = (
    check_4_1_a_server_is_added_and_catches_up,
    check_4_2_a_removed_server_no_longer_counts,
    check_4_3_a_leader_can_remove_itself,
    check_5_3_a_server_far_behind_gets_a_snapshot,
)
"""What those with several servers keep besides."""

SINGLE_SERVER_CHECKS: tuple[Check, ...] = (check_7_1_one_server_stays_alone,)
"""What those that are one server keep."""
