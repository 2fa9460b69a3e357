"""The first election of a quorum: one founder stands at once, so that nobody waits for a timeout."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from consul_kernel.contracts.consensus import Role, Server
from consul_kernel.contracts.store import HardState
from consul_kernel_raft.core import Bootstrap, Limits, Raft, Timer
from consul_kernel_raft.core.messages import RequestVote
from plugins.consensus.raft.raft_pair import SERVERS, TIMING, ListLog, nonvoter

NOW_MS = 10_000


def founded(own_id: str, servers: Sequence[Server]) -> Raft:
    raft = Raft(
        server_id=own_id,
        store=ListLog((), HardState(0, ""), ()),
        snapshot=None,
        applied_index=0,
        timing=TIMING,
        limits=Limits(),
        rng=random.Random(1),
        now_ms=NOW_MS,
    )
    raft.recover([], NOW_MS)
    raft.step(Bootstrap(tuple(servers)), NOW_MS)
    return raft


def test_the_first_founder_asks_for_votes_at_once() -> None:
    raft = founded("a", SERVERS)
    assert raft.deadline_ms() == NOW_MS
    raft.step(Timer(), NOW_MS)
    assert raft.role is Role.CANDIDATE
    ready = raft.ready()
    assert ready is not None
    assert {message.to for message in ready.messages if isinstance(message, RequestVote)} == {"b", "c"}
    assert (raft.deadline_ms() or 0) >= NOW_MS + TIMING.election_timeout_ms  # nobody answered: the usual patience


@pytest.mark.parametrize(("own_id", "servers"), [("b", SERVERS), ("c", SERVERS), ("a", (nonvoter("a"), *SERVERS[1:]))])
def test_the_other_founders_wait_for_it(own_id: str, servers: Sequence[Server]) -> None:
    raft = founded(own_id, servers)
    deadline_ms = raft.deadline_ms()
    assert deadline_ms is None or deadline_ms >= NOW_MS + TIMING.heartbeat_timeout_ms
