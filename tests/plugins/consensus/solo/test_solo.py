"""What the one server adds to the contract: bounds, a log that Raft can take over, and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from consul_kernel.contracts.consensus import Consensus, ConsensusContext, Server
from consul_kernel.contracts.errors import ConsensusError, PluginStartError, ProposalOverloadError, ProposalTimeoutError
from consul_kernel.testing.consensus_quorum import MakeConsensus, Quorum
from consul_kernel.testing.virtual_time import run_virtual
from consul_kernel_raft import RaftConfig, RaftConsensus
from consul_kernel_solo import SoloConfig, SoloConsensus


def make(context: ConsensusContext) -> Consensus:
    return SoloConsensus(context, SoloConfig())


def make_raft(context: ConsensusContext) -> Consensus:
    return RaftConsensus(context, RaftConfig())


def run(quorum: Quorum, scenario: Callable[[Quorum], Awaitable[None]]) -> None:
    async def body() -> None:
        async with quorum:
            await scenario(quorum)

    run_virtual(body(), limit_s=600)


@pytest.mark.parametrize("durable_state", [True, False])
@pytest.mark.parametrize(("first", "second"), [(make, make_raft), (make_raft, make)])
def test_raft_and_solo_take_over_from_each_other(
    first: MakeConsensus, second: MakeConsensus, durable_state: bool
) -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        expected = []
        for turn, maker in enumerate((second, first, second)):
            for number in range(30):
                expected.append(b"%d/%d" % (turn, number))
                await node.running.propose(expected[-1], timeout_ms=5000)
            if turn == 1:
                await node.running.take_snapshot()
            await quorum.stop(node)
            quorum._make = maker
            await quorum.start(node)
            await quorum.leader()
            assert node.commands == expected
            assert node.running.configuration.servers == (node.server,)

    run(Quorum(first, size=1, durable_state=durable_state, trailing_logs=5), scenario)


def test_a_log_that_raft_takes_over_can_grow_into_a_quorum() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        await node.running.propose(b"alone", timeout_ms=5000)
        await quorum.stop(node)
        quorum._make = make_raft
        await quorum.start(node)
        await quorum.leader()
        for _ in range(2):
            other = quorum.add_node()
            await quorum.start(other)
            await node.running.add_server(other.server)
        await node.running.propose(b"together", timeout_ms=5000)
        await quorum.until_equal()
        quorum.crash(node)
        successor = await quorum.leader()
        assert successor.commands == [b"alone", b"together"]

    run(Quorum(make, size=1), scenario)


def test_a_quorum_of_several_is_not_for_one_of_them_to_go_on() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"x", timeout_ms=5000)
        await quorum.stop(leader)
        quorum._make = make
        with pytest.raises(PluginStartError, match="belongs to a quorum of others"):
            await quorum.start(leader)

    run(Quorum(make_raft, size=3), scenario)


def test_another_servers_data_is_refused() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        await quorum.stop(node)
        node.id = "somebody else"
        with pytest.raises(PluginStartError, match="belongs to a quorum of others"):
            await quorum.start(node)

    run(Quorum(make, size=1), scenario)


def test_a_new_address_is_written_down() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        await quorum.stop(node)
        node.server = Server(node.id, "10.0.0.1:9300")
        await quorum.start(node)
        await quorum.leader()
        assert node.running.configuration.servers == (node.server,)
        status = node.running.status()
        assert status.leader == node.server
        await quorum.stop(node)
        await quorum.start(node)
        assert node.log.last_index == status.last_log_index

    run(Quorum(make, size=1), scenario)


def test_a_log_that_was_lost_under_its_state_stops_the_start() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        await node.running.propose(b"x", timeout_ms=5000)
        await quorum.stop(node)
        node.log.stored.clear()
        with pytest.raises(PluginStartError, match="log of this server was lost"):
            await quorum.start(node)

    run(Quorum(make, size=1, durable_state=True), scenario)


def test_a_damaged_snapshot_is_passed_over_while_the_log_is_whole() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        for turn in range(2):
            for number in range(10):
                await node.running.propose(b"%d/%d" % (turn, number), timeout_ms=5000)
            await node.running.take_snapshot()
        await quorum.until(lambda: node.log.first_index > 1, "compaction")
        meta, _ = node.snapshots.kept[0]
        node.snapshots.kept[0] = (meta, b"damaged")
        await quorum.stop(node)
        await quorum.start(node)
        await quorum.leader()
        assert len(node.commands) == 20
        node.snapshots.kept[1] = (node.snapshots.kept[1][0], b"damaged")
        await quorum.stop(node)
        with pytest.raises(PluginStartError, match="no snapshot joins them"):
            await quorum.start(node)

    run(Quorum(make, size=1, trailing_logs=12), scenario)


def test_what_waits_is_bounded_and_runs_out() -> None:
    def make_small(context: ConsensusContext) -> Consensus:
        return SoloConsensus(context, SoloConfig(proposals_max=10))

    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        node.log.flush_ms = 2000
        proposals = (node.running.propose(b"%d" % number, timeout_ms=1000) for number in range(15))
        outcomes = await asyncio.gather(*proposals, return_exceptions=True)
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [ProposalTimeoutError] * 10 + [ProposalOverloadError] * 5
        await asyncio.sleep(5)
        node.log.flush_ms = 1
        await node.running.propose(b"again", timeout_ms=1000)
        assert node.commands[-1] == b"again"

    run(Quorum(make_small, size=1), scenario)


def test_a_batch_is_bounded() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        node.log.flush_ms = 10
        flushes = node.log.flushes
        large = b"x" * (3 * 1024 * 1024)
        await asyncio.gather(*(node.running.propose(large, timeout_ms=5000) for _ in range(6)))
        assert node.log.flushes - flushes == 6

    run(Quorum(make, size=1), scenario)


def test_figures_bear_consuls_names() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        await node.running.propose(b"x", timeout_ms=5000)
        stats = node.running.stats()
        assert (stats["state"], stats["num_peers"], stats["last_contact"]) == ("Leader", "0", "0")
        assert stats["commit_index"] == stats["applied_index"] == stats["last_log_index"] == "2"
        assert node.server.address in stats["latest_configuration"]
        await node.running.aclose()
        assert node.running.stats()["state"] == "Shutdown"

    run(Quorum(make, size=1), scenario)


def test_only_a_voter_of_its_own_id_can_found() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = quorum.nodes[0]
        for servers in ([], [replace(node.server, id="other")], [quorum.nonvoter(node)]):
            with pytest.raises(ConsensusError, match="is one server"):
                await node.running.bootstrap(servers)
        assert not node.running.is_leader

    run(Quorum(make, size=1), scenario)
