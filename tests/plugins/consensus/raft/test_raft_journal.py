"""What an operator reads: every change of role, leader and servers, and each outage of a peer, once."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import cast

import pytest

from consul_kernel.contracts.consensus import Configuration, Role
from consul_kernel.contracts.errors import ConsensusError
from consul_kernel.contracts.metrics import NO_METRICS
from consul_kernel.testing.consensus_quorum import Quorum
from consul_kernel_raft.core import Raft
from consul_kernel_raft.journal import Journal
from plugins.consensus.raft.raft_quorum import make, run

INFO, WARNING = logging.INFO, logging.WARNING


def lines(caplog: pytest.LogCaptureFixture, part: str) -> list[tuple[int, str]]:
    records = [record for record in caplog.records if record.name == "consul_kernel_raft"]
    return [(record.levelno, record.getMessage()) for record in records if part in record.getMessage()]


def test_an_election_and_its_outcome_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO)

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await quorum.until_equal()
        term = leader.running.status().term
        assert lines(caplog, f"entering candidate state in term {term}")
        assert lines(caplog, "election won") == [(INFO, f"election won, entering leader state in term {term}")]
        assert len(lines(caplog, f"following leader {leader.id} at ")) == 2
        assert len(lines(caplog, "servers of the quorum by entry 1: ")) == 3

    run(Quorum(make), scenario)


def test_a_lost_leader_is_told_with_the_silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO)

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await quorum.until_equal()
        caplog.clear()
        quorum.crash(leader)
        successor = await quorum.leader()
        found = lines(caplog, f"no contact with the leader {leader.id} at ")
        assert found
        level, text = found[0]
        assert level == WARNING
        silence_ms = int(text.partition(" for ")[2].partition(" ms")[0])
        assert 1000 <= silence_ms <= 3000
        assert lines(caplog, f"following leader {successor.id}")

    run(Quorum(make), scenario)


def test_a_disk_that_hangs_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO)

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        leader.log.flush_ms = 20_000
        with pytest.raises(ConsensusError):
            await leader.running.propose(b"x", timeout_ms=60_000)
        (line,) = lines(caplog, "takes too long to write")
        assert line == (logging.ERROR, "the log of this server takes too long to write, stepping down")

    run(Quorum(make), scenario)


def test_an_outage_of_a_server_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO)

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        away = next(node for node in quorum.nodes if node is not leader)
        caplog.clear()
        quorum.crash(away)
        await asyncio.sleep(60)
        outage = lines(caplog, f"server {away.id} at ")
        assert [level for level, _ in outage] == [WARNING]
        assert "cannot be reached: " in outage[0][1]
        await quorum.start(away)
        await quorum.until_equal()
        await asyncio.sleep(1)
        assert lines(caplog, f"server {away.id} at ")[1:] == [
            (INFO, outage[0][1].split(" cannot")[0] + " answers again")
        ]

    run(Quorum(make), scenario)


def test_a_leader_without_a_quorum_says_why_it_steps_down(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO)

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        quorum.network.isolate(leader.host)
        await asyncio.sleep(10)
        assert lines(caplog, "stepping down") == [(WARNING, "no contact with a quorum of servers, stepping down")]

    run(Quorum(make), scenario)


def test_handing_over_and_changes_of_the_servers_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO)

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await quorum.until_equal()
        target = next(node for node in quorum.nodes if node is not leader)
        await leader.running.transfer_leadership(target.id)
        assert lines(caplog, "leadership handed over")
        assert lines(caplog, f"the leader {leader.id} at ")[0][1].endswith("hands over, starting an election")
        assert not lines(caplog, "no contact")
        caplog.clear()
        await target.running.remove_server(leader.id)
        level, text = lines(caplog, "servers of the quorum by entry ")[0]
        assert level == INFO
        assert target.id in text
        assert leader.id not in text

    run(Quorum(make), scenario)


def test_snapshots_are_told_with_size_and_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO)

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"x" * 1000, timeout_ms=1000)
        await leader.running.take_snapshot()
        (level, text) = lines(caplog, "snapshot ")[0]
        assert level == INFO
        assert " taken up to entry " in text
        assert " bytes in " in text

    run(Quorum(make, size=1), scenario)


def test_a_snapshot_that_a_server_needs_is_told_by_both(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO)

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        behind, other = quorum.followers(leader)
        quorum.crash(behind)
        for number in range(50):
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
        await quorum.until_equal([leader, other])
        for node in (leader, other):
            await node.running.take_snapshot()
        await quorum.until(lambda: min(leader.log.first_index, other.log.first_index) > 30, "compaction")
        for node in (leader, other):
            await quorum.stop(node)  # what they keep in memory beyond the log is gone
        caplog.clear()
        for node in quorum.nodes:
            await quorum.start(node)
        await quorum.leader()
        await quorum.until_equal()
        await quorum.until(lambda: bool(lines(caplog, f" sent to {behind.id}: ")), "end of the sending")
        told = [*lines(caplog, " sent to "), *lines(caplog, " received from "), *lines(caplog, "state restored from ")]
        assert len(told) == 1 + 1 + 3  # those who stopped have restored theirs
        assert all(level == INFO and " bytes in " in text for level, text in told)

    run(Quorum(make, trailing_logs=3), scenario)


def test_what_others_send_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO)
    now_ms = 0
    journal = Journal(lambda: now_ms, NO_METRICS)
    state = SimpleNamespace(
        role=Role.FOLLOWER, pre_voting=False, leader_id=None, leadership=None, term=1, configuration=Configuration()
    )
    for number in range(1000):
        state.leader_id = f"stranger {number}"
        journal.observe(cast("Raft", state), now_ms)
    assert len(lines(caplog, "following leader")) == 60
    now_ms = 60_000
    journal.unreachable("a", "a:8300", "no route")
    assert lines(caplog, "left out") == [(WARNING, "940 more lines about the quorum were left out")]
    assert lines(caplog, "no route") == [(WARNING, "server a at a:8300 cannot be reached: no route")]


def test_a_turn_without_news_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO)

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await quorum.until_equal()
        caplog.clear()
        for number in range(20):
            await leader.running.propose(b"%d" % number, timeout_ms=1000)
        await asyncio.sleep(30)
        assert lines(caplog, "") == []

    run(Quorum(make), scenario)
