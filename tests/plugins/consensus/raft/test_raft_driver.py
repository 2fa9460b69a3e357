"""What the driver adds to the contract: bounds, broken links, times, and Consul's figures."""

from __future__ import annotations

import asyncio

import pytest

from consul_kernel.contracts.consensus import Consensus, ConsensusContext
from consul_kernel.contracts.errors import (
    ConsensusError,
    LeadershipLostError,
    PluginStartError,
    ProposalOverloadError,
    ProposalTimeoutError,
)
from consul_kernel.testing.consensus_quorum import Quorum
from consul_kernel.testing.virtual_time import virtual_now_ms
from consul_kernel_raft import RaftConfig, RaftConsensus, driver
from consul_kernel_raft.config import resolve_timing
from consul_kernel_raft.core.messages import Heartbeat
from consul_kernel_raft.wire import RequestEncoder
from plugins.consensus.raft.raft_quorum import make, run


def test_times_are_consuls_and_scaled() -> None:
    timing = resolve_timing(RaftConfig(), 5)
    assert (timing.heartbeat_timeout_ms, timing.election_timeout_ms, timing.lease_ms) == (5000, 5000, 2500)
    assert (timing.commit_ms, timing.heartbeat_interval_ms) == (50, 500)
    short = resolve_timing(RaftConfig(heartbeat_ms=200), 1)
    assert (short.heartbeat_timeout_ms, short.election_timeout_ms, short.lease_ms) == (200, 200, 100)


def test_times_that_cannot_work_stop_the_start() -> None:
    with pytest.raises(PluginStartError, match="lease < heartbeat <= election"):
        resolve_timing(RaftConfig(lease_ms=1500), 1)


def test_too_many_proposals_are_refused() -> None:
    def make_small(context: ConsensusContext) -> Consensus:
        return RaftConsensus(context, RaftConfig(proposals_max=10))

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        results = await asyncio.gather(
            *(leader.running.propose(b"%d" % number, timeout_ms=5000) for number in range(30)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, ProposalOverloadError)]
        assert len(refused) == 20
        assert len(leader.commands) == 10
        await leader.running.propose(b"again", timeout_ms=5000)

    run(Quorum(make_small, size=1), scenario)


def test_heartbeats_do_not_wait_behind_large_appends() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        terms = {node.running.status().term for node in quorum.nodes}
        for node in quorum.nodes:
            if node is not leader:
                node.log.flush_ms = 3000  # a disk that takes longer than an election
        pending = [asyncio.ensure_future(leader.running.propose(b"x" * 100_000, timeout_ms=60_000)) for _ in range(50)]
        await asyncio.gather(*pending)
        assert {node.running.status().term for node in quorum.nodes} == terms
        assert leader.running.is_leader

    run(Quorum(make), scenario)


def test_a_leader_whose_disk_hangs_is_replaced_and_follows_when_it_goes_on() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"before", timeout_ms=5000)
        leader.log.flush_ms = 20_000
        pending = asyncio.ensure_future(leader.running.propose(b"hangs", timeout_ms=60_000))
        began_ms = virtual_now_ms()
        successor = await quorum.leader(quorum.followers(leader))
        assert virtual_now_ms() - began_ms < 2500
        with pytest.raises(LeadershipLostError):
            await pending
        assert not leader.running.is_leader
        leader.log.flush_ms = 1
        for number in range(10):
            await successor.running.propose(b"%d" % number, timeout_ms=5000)
        await quorum.until_equal()
        assert successor.running.is_leader
        assert leader.commands == [b"before", b"hangs", *(b"%d" % number for number in range(10))]

    run(Quorum(make), scenario)


def test_a_leader_whose_log_refuses_is_replaced_and_acknowledges_nothing_more() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"before", timeout_ms=5000)
        leader.log.failing = True
        for _ in range(3):
            with pytest.raises(ConsensusError):
                await leader.running.propose(b"refused", timeout_ms=5000)
        assert not leader.running.is_leader
        assert [str(failure) for failure in leader.failures] == ["input/output error"]
        successor = await quorum.leader(quorum.followers(leader))
        await successor.running.propose(b"after", timeout_ms=5000)
        # The one that was on its way may have been committed by the others, the later ones were never proposed.
        assert successor.commands in ([b"before", b"after"], [b"before", b"refused", b"after"])
        leader.log.failing = False
        await quorum.stop(leader)
        await quorum.start(leader)
        await quorum.until_equal()

    run(Quorum(make), scenario)


def test_a_partition_that_heals_keeps_the_leader_and_loses_nothing() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        term = leader.running.status().term
        cut_off = next(node for node in quorum.nodes if node is not leader)
        quorum.network.isolate(cut_off.host)
        for number in range(50):
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
        await asyncio.sleep(30)
        quorum.network.heal()
        await quorum.until_equal()
        await asyncio.sleep(5)
        assert leader.running.is_leader
        assert leader.running.status().term == term  # pre-vote: whoever was cut off deposes nobody

    run(Quorum(make), scenario)


def test_a_server_that_was_away_for_long_is_back_within_a_second() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        away = next(node for node in quorum.nodes if node is not leader)
        quorum.crash(away)
        await asyncio.sleep(300)
        await leader.running.propose(b"x", timeout_ms=5000)
        await quorum.start(away)
        began_ms = virtual_now_ms()
        await quorum.until_equal()
        assert virtual_now_ms() - began_ms < 1000

    run(Quorum(make), scenario)


def test_followers_hear_of_a_commitment_soon() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await asyncio.sleep(1)
        await leader.running.propose(b"x", timeout_ms=5000)
        began_ms = virtual_now_ms()
        await quorum.until_equal()
        assert virtual_now_ms() - began_ms < 80

    run(Quorum(make), scenario)


def test_an_idle_single_server_does_nothing() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        consensus = leader.running
        assert isinstance(consensus, RaftConsensus)
        assert consensus._raft is not None
        assert consensus._raft.deadline_ms() is None
        await asyncio.sleep(60)
        assert consensus.is_leader

    run(Quorum(make, size=1), scenario)


def test_figures_bear_consuls_names() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"x", timeout_ms=5000)
        stats = leader.running.stats()
        assert stats["state"] == "Leader"
        assert stats["num_peers"] == "2"
        assert stats["commit_index"] == stats["applied_index"] == stats["last_log_index"] == "3"
        assert stats["last_contact"] == "0"
        assert stats["fsm_pending"] == "0"
        assert stats["latest_configuration_index"] == "1"
        assert leader.server.address in stats["latest_configuration"]
        assert {"last_log_term", "last_snapshot_index", "last_snapshot_term", "protocol_version", "term"} <= set(stats)

    run(Quorum(make), scenario)


def test_a_full_inbox_drops_what_peers_send_and_nothing_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer repeats what is lost; that a snapshot was saved, or could not be sent, is said only once."""

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        consensus = leader.running
        assert isinstance(consensus, RaftConsensus)
        monkeypatch.setattr(driver, "_INBOX_MAX", 0)
        await consensus.take_snapshot()
        await quorum.until(lambda: consensus.stats()["last_snapshot_index"] != "0", "snapshot", within_ms=100)
        await quorum.until(lambda: consensus.stats()["inbox_dropped"] != "0", "dropped answer")
        monkeypatch.undo()
        await quorum.propose(b"x")

    run(Quorum(make), scenario)


def test_a_connection_whose_requests_were_dropped_does_not_stay_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read no further while so many answers are due, so its end would not be seen; its place would be lost."""

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        monkeypatch.setattr(driver, "_INBOX_MAX", 0)
        stream = await quorum.network.transport("stranger").dial(quorum.address(leader), timeout_ms=1000)
        request = RequestEncoder("stranger", "stranger:1").encode(
            Heartbeat(sender="stranger", to=leader.id, term=1, round=0, sent_ms=0)
        )
        stream.write(request * 200)
        async with asyncio.timeout(60):
            assert await stream.read(1) == b""

    run(Quorum(make), scenario)


def test_a_log_that_was_lost_under_its_state_stops_the_start() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        await node.running.propose(b"x", timeout_ms=5000)
        await quorum.stop(node)
        node.log.stored.clear()
        with pytest.raises(PluginStartError, match="log of this server was lost"):
            await quorum.start(node)

    run(Quorum(make, size=1, durable_state=True), scenario)


def test_a_restart_between_snapshot_and_reset_is_made_up_for() -> None:
    """A leader's snapshot was stored, and the machine stopped before the log was reset to it."""

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        behind = next(node for node in quorum.nodes if node is not leader)
        quorum.crash(behind)
        for number in range(20):
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
        await leader.running.take_snapshot()
        behind.snapshots.kept = list(leader.snapshots.kept)
        await quorum.start(behind)
        assert behind.commands == [b"%d" % number for number in range(20)]
        await quorum.propose(b"after")
        await quorum.until_equal()

    run(Quorum(make), scenario)


@pytest.mark.parametrize("has_older", [True, False])
def test_a_snapshot_that_cannot_be_restored_does_not_cost_the_log(has_older: bool) -> None:
    """The newest goes beyond the log, as after the restart above, but is damaged: what is older is whole."""

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        for number in range(10):
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
        await quorum.until_equal()
        behind = next(node for node in quorum.nodes if node is not leader)
        if has_older:
            await behind.running.take_snapshot()
        quorum.crash(behind)
        for number in range(10, 20):
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
        await leader.running.take_snapshot()
        behind.snapshots.kept.insert(0, (leader.snapshots.kept[0][0], b"damaged"))
        before = behind.log.last_index
        await quorum.start(behind)
        assert behind.log.last_index == before
        await quorum.until_equal()
        assert not behind.failures

    run(Quorum(make), scenario)


def test_the_last_voter_cannot_be_removed() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        with pytest.raises(ConsensusError, match="at least one voter"):
            await leader.running.remove_server(leader.id)
        await leader.running.propose(b"x", timeout_ms=5000)

    run(Quorum(make, size=1), scenario)


@pytest.mark.parametrize("seed", range(8))
def test_clients_during_rolling_crashes_lose_nothing(seed: int) -> None:
    async def scenario(quorum: Quorum) -> None:
        await quorum.bootstrap()
        acknowledged: list[bytes] = []

        async def client(name: int) -> None:
            for number in range(60):
                command = b"%d/%d" % (name, number)
                leaders = [node for node in quorum.alive if node.running.is_leader]
                try:
                    for leader in leaders:
                        await leader.running.propose(command, timeout_ms=500)
                        acknowledged.append(command)
                        break
                except ConsensusError:
                    pass
                await asyncio.sleep(0.1)

        clients = asyncio.gather(*(client(name) for name in range(5)))
        for node in (*quorum.nodes, *quorum.nodes):
            await asyncio.sleep(0.3)
            quorum.crash(node)
            await asyncio.sleep(0.5)
            await quorum.start(node)
        await clients
        await quorum.propose(b"last")
        await quorum.until_equal()
        applied = quorum.nodes[0].commands
        assert len(acknowledged) > 10
        assert set(acknowledged) <= set(applied)
        assert len(applied) == len(set(applied))

    run(
        Quorum(
            make,
            seed=seed,
            snapshot_threshold=20,
            snapshot_interval_ms=300,
            trailing_logs=3,
            durable_state=seed % 2 == 0,
        ),
        scenario,
    )


def test_proposals_gather_while_the_leaders_disk_is_busy() -> None:
    """What one flush of the leader holds is one append, and one flush, for each follower."""

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await quorum.until_equal()
        leader.log.flush_ms = 50
        flushes = [node.log.flushes for node in quorum.nodes]
        pending = []
        for number in range(10):
            pending.append(asyncio.ensure_future(leader.running.propose(b"%d" % number, timeout_ms=5000)))
            await asyncio.sleep(0.004)
        await asyncio.gather(*pending)
        assert [node.log.flushes - before for node, before in zip(quorum.nodes, flushes, strict=True)] == [2, 2, 2]
        assert leader.commands == [b"%d" % number for number in range(10)]

    run(Quorum(make), scenario)


def test_each_proposal_is_given_up_at_its_own_time() -> None:
    """One timer serves all: deadlines that fall, that rise, and those of proposals that were answered before."""

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"answered", timeout_ms=100)
        for follower in quorum.followers(leader):
            follower.log.flush_ms = 60_000  # answers heartbeats, confirms nothing
        began_ms = virtual_now_ms()
        ends: dict[int, int] = {}

        async def give_up(timeout_ms: int) -> None:
            with pytest.raises(ProposalTimeoutError):
                await leader.running.propose(b"%d" % timeout_ms, timeout_ms=timeout_ms)
            ends[timeout_ms] = virtual_now_ms() - began_ms

        await asyncio.gather(*(give_up(timeout_ms) for timeout_ms in (700, 400, 405, 900)))
        assert all(timeout_ms <= ended <= timeout_ms + 15 for timeout_ms, ended in ends.items()), ends

    run(Quorum(make), scenario)
