"""Bugs that others have had, put back in: the simulation must find each of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from consul_kernel.contracts.store import HardState
from consul_kernel_raft.core import election, log, raft, replication
from consul_kernel_raft.core.messages import Message
from consul_kernel_raft.core.state import RaftState
from consul_kernel_raft.core.tracker import ReplicationTracker
from simulation.raft_nemesis import run_seed
from simulation.raft_scenarios import SCENARIOS

SEEDS_MAX = 100
SCENARIO_SEEDS = 10

Patch = Callable[[pytest.MonkeyPatch], None]


def commit_by_counting(patch: pytest.MonkeyPatch) -> None:
    """Figure 8: an entry of an older term is committed because it is on a majority."""

    def maybe_commit(self: RaftState, now_ms: int) -> None:
        if self.leadership is not None:
            self.commit_to(self.leadership.tracker.match_index(self.log.stable_index))

    patch.setattr(replication, "maybe_commit", maybe_commit)
    patch.setattr(raft, "maybe_commit", maybe_commit)


def forget_the_vote(patch: pytest.MonkeyPatch) -> None:
    """The term is made durable, the vote is not."""
    patch.setattr(RaftState, "current_hard_state", lambda self: HardState(self.term, ""))


def answer_before_persisting(patch: pytest.MonkeyPatch) -> None:
    """Votes and appends are confirmed while they are still in memory."""

    def send(self: RaftState, message: Message) -> None:
        self.outbox.append(message)

    patch.setattr(RaftState, "send_when_durable", send)


def count_own_log_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    """The leader counts entries towards the quorum that it has not written."""
    true_match_index = ReplicationTracker.match_index

    def match_index(self: ReplicationTracker, stable_index: int) -> int:
        return true_match_index(self, 1 << 60)

    def maybe_commit(self: RaftState, now_ms: int) -> None:
        leadership = self.leadership
        if leadership is not None:
            index = min(match_index(leadership.tracker, 0), self.log.last_index)
            if self.log.term(index) == self.term:
                self.commit_to(index)

    patch.setattr(replication, "maybe_commit", maybe_commit)
    patch.setattr(raft, "maybe_commit", maybe_commit)


def vote_for_any_log(patch: pytest.MonkeyPatch) -> None:
    """The election restriction (§5.4.1) is missing."""
    patch.setattr(log.RaftLog, "is_up_to_date", lambda self, last_index, last_term: True)


def vote_while_the_leader_lives(patch: pytest.MonkeyPatch) -> None:
    """Followers help others to power while the leader's lease runs."""
    patch.setattr(election, "_leader_is_alive", lambda state, now_ms: False)


def read_without_asking(patch: pytest.MonkeyPatch) -> None:
    """ReadIndex answers without a round of heartbeats, and nobody checks the quorum either."""
    patch.setattr(raft.Raft, "_quorum_deadline_ms", lambda self: 1 << 60)

    def begin_reads(self: RaftState, now_ms: int) -> None:
        if self.leadership is not None and self.commit_index >= self.leadership.term_start_index:
            self.reads.begin(0, self.commit_index)
            self.read_states.extend(self.reads.confirm(0))

    patch.setattr(replication, "begin_reads", begin_reads)
    patch.setattr(raft, "begin_reads", begin_reads)


def keep_the_lease_after_timeout_now(patch: pytest.MonkeyPatch) -> None:
    """The lease is not given up when leadership is handed over."""

    def update_lease(self: RaftState, now_ms: int) -> None:
        if self.leadership is not None:
            acked_ms = self.leadership.tracker.acked_sent_ms()
            self.leadership.lease_until_ms = 0 if acked_ms is None else acked_ms + self.timing.lease_ms

    patch.setattr(RaftState, "update_lease", update_lease)


def overwrite_without_checking(patch: pytest.MonkeyPatch) -> None:
    """A follower appends without the consistency check on the entry before (§5.3)."""
    true_matches = log.RaftLog.matches

    def matches(self: log.RaftLog, index: int, term: int) -> bool:
        return index <= self.last_index if index < self.last_index else true_matches(self, index, term)

    patch.setattr(log.RaftLog, "matches", matches)


BUGS: tuple[Patch, ...] = (
    commit_by_counting,
    forget_the_vote,
    answer_before_persisting,
    count_own_log_before_it_is_durable,
    vote_for_any_log,
    vote_while_the_leader_lives,
    read_without_asking,
    keep_the_lease_after_timeout_now,
    overwrite_without_checking,
)


def _run_all() -> None:
    for scenario in SCENARIOS:
        for seed in range(SCENARIO_SEEDS):
            scenario(seed)
    for seed in range(SEEDS_MAX):
        run_seed(seed)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_the_simulation_finds(bug: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        _run_all()
