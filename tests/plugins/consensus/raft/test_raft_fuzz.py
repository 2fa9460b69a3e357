"""Whatever a peer sends, the core does not raise, and what it knows to be committed stays."""

from __future__ import annotations

import random

import pytest

from consul_kernel.contracts.store import LogEntry
from consul_kernel_raft.core import Propose, ReadIndex, SnapshotFailed, Timer, Unreachable
from consul_kernel_raft.core.entry import EntryKind, encode_configuration
from consul_kernel_raft.core.events import Event
from consul_kernel_raft.core.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshotResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from plugins.consensus.raft.raft_pair import SERVERS, Bench


def _number(rng: random.Random) -> int:
    return rng.choice((0, 1, 2, 3, 5, 8, rng.randint(0, 20), (1 << 62) - 1))


def _entries(rng: random.Random, prev_index: int, term: int) -> list[LogEntry]:
    """Mostly well formed, so that some of it is accepted."""
    data = rng.choice((b"", b"\xc1", encode_configuration(SERVERS), encode_configuration(SERVERS[:2])))
    skip = rng.choice((0, 0, 0, 1))
    return [
        LogEntry(
            prev_index + 1 + skip + offset, max(0, term - rng.choice((0, 0, 1))), rng.choice(list(EntryKind)), data
        )
        for offset in range(rng.randint(0, 3))
    ]


def _event(rng: random.Random, bench: Bench) -> Event:
    sender = rng.choice(("b", "c", "stranger", ""))
    raft = bench.raft
    term = rng.choice((raft.term, raft.term, raft.term + 1, max(0, raft.term - 1)))
    prev = rng.choice((raft.log.last_index, _number(rng)))
    last_term = raft.log.term(prev) or _number(rng)
    flag = rng.random() < 0.5
    sent_ms = rng.choice((bench.now_ms, _number(rng)))
    names = {"sender": sender, "to": "a", "term": term}
    events: tuple[Event, ...] = (
        AppendEntries(
            **names,  # type: ignore[arg-type]
            prev_index=prev,
            prev_term=last_term,
            entries=_entries(rng, prev, term),
            commit_index=min(_number(rng), raft.commit_index + 1),
        ),
        AppendEntriesResponse(
            **names,  # type: ignore[arg-type]
            success=flag and prev <= raft.log.last_index + 2,
            prev_index=prev,
            match_index=prev,
            hint_index=_number(rng),
            hint_term=_number(rng),
            round=_number(rng),
            sent_ms=sent_ms,
        ),
        Heartbeat(**names, round=_number(rng), sent_ms=sent_ms),  # type: ignore[arg-type]
        HeartbeatResponse(**names, success=flag, round=_number(rng), sent_ms=sent_ms),  # type: ignore[arg-type]
        RequestVote(**names, last_index=prev, last_term=last_term, pre=flag, transfer=rng.random() < 0.3),  # type: ignore[arg-type]
        RequestVoteResponse(**names, request_term=term + (1 if flag else 0), granted=True, pre=flag),  # type: ignore[arg-type]
        InstallSnapshotResponse(**names, success=flag, index=prev),  # type: ignore[arg-type]
        TimeoutNow(**names),  # type: ignore[arg-type]
        Timer(),
        Propose([b"x"]),
        ReadIndex([rng.randint(1, 1000)]),
        Unreachable(sender),
        SnapshotFailed(sender),
    )
    return rng.choice(events)


@pytest.mark.parametrize("seed", range(60))
def test_nothing_that_arrives_raises(seed: int) -> None:
    rng = random.Random(seed)
    bench = Bench((1, 1, 2), term=2)
    roles = set()
    for _ in range(400):
        bench.step(_event(rng, bench))
        bench.now_ms += rng.choice((0, 1, 50, 400))
        roles.add(bench.raft.role)
        indexes = [entry.index for entry in bench.applied]
        assert indexes == list(range(1, len(indexes) + 1))
        assert [entry.term for entry in bench.applied] == [bench.store.term(index) for index in indexes]
    assert len(roles) > 1
