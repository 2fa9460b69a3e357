"""Bugs that others have had, or that we had, as patches of the algorithm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from consul_kernel.contracts.consensus import Role, Server
from consul_kernel.contracts.store import HardState, LogEntry
from consul_kernel_raft.core import (
    Limits,
    Timing,
    configurations,
    election,
    following,
    log,
    membership,
    progress,
    raft,
    replication,
)
from consul_kernel_raft.core.messages import (
    AppendEntries,
    InstallSnapshot,
    InstallSnapshotResponse,
    Message,
    RequestVote,
)
from consul_kernel_raft.core.state import RaftState
from consul_kernel_raft.core.tracker import ReplicationTracker

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


def append_over_whatever_is_there(patch: pytest.MonkeyPatch) -> None:
    """A follower drops all that follows an append's entries, instead of what conflicts with them (§5.3).

    A late append then takes back what was confirmed, and even what is committed.
    """

    def append_new(state: RaftState, entries: Sequence[LogEntry], now_ms: int) -> bool:
        if entries:
            state.truncate_from(entries[0].index, now_ms)
            state.append(entries, now_ms)
        return True

    patch.setattr(following, "_append_new", append_new)


def install_over_a_newer_state(patch: pytest.MonkeyPatch) -> None:
    """A snapshot that comes late replaces a state that is further."""

    def receive_snapshot(state: RaftState, message: InstallSnapshot, now_ms: int) -> None:
        success = message.term >= state.term and state.follow(message.term, message.sender, now_ms)
        if success:
            state.restore(message.snapshot, now_ms)
        answer = InstallSnapshotResponse(
            sender=state.id, to=message.sender, term=state.term, success=success, index=message.snapshot.index
        )
        state.send_when_durable(answer)

    patch.setattr(raft, "receive_snapshot", receive_snapshot)


def _refuse_change_but_for(patch: pytest.MonkeyPatch, reason: str) -> None:
    true_refusal = membership.refuse_change

    def refuse_change(state: RaftState, servers: tuple[Server, ...]) -> str | None:
        refusal = true_refusal(state, servers)
        return None if refusal is not None and reason in refusal else refusal

    patch.setattr(raft, "refuse_change", refuse_change)


def change_servers_before_the_term_began(patch: pytest.MonkeyPatch) -> None:
    """A leader changes the servers before an entry of its term is committed (raft-dev, July 2015)."""
    _refuse_change_but_for(patch, "has not committed an entry of its term")


def change_servers_twice_at_once(patch: pytest.MonkeyPatch) -> None:
    """A leader changes the servers while the change before is not committed (thesis §4.1)."""
    _refuse_change_but_for(patch, "another configuration change")


def keep_a_configuration_that_was_truncated(patch: pytest.MonkeyPatch) -> None:
    """A follower drops a configuration from its log and goes on by it (thesis §4.1)."""
    patch.setattr(configurations.ConfigurationHistory, "truncate_from", lambda self, index: False)


def stand_no_more_once_removed(patch: pytest.MonkeyPatch) -> None:
    """A server stands for nothing once its log removes it, though that is not committed (thesis §4.2.2)."""
    patch.setattr(RaftState, "may_stand", property(lambda self: self.id in self.voters))


def count_learners(patch: pytest.MonkeyPatch) -> None:
    """What a server without a vote has written counts towards the majority of those with one (thesis §4.2.1)."""

    def match_index(self: ReplicationTracker, stable_index: int) -> int:
        indexes = sorted([stable_index, *(item.match_index for item in self.progress.values())], reverse=True)
        return indexes[len(self.voters) // 2] if len(indexes) > len(self.voters) // 2 else 0

    patch.setattr(ReplicationTracker, "match_index", match_index)


def commit_what_the_leader_has(patch: pytest.MonkeyPatch) -> None:
    """A follower takes the leader's commit index for its own log, beyond what an append showed to match (§5.3)."""
    true_receive = following.receive_append

    def receive_append(state: RaftState, message: AppendEntries, now_ms: int) -> None:
        true_receive(state, message, now_ms)
        if message.term == state.term and state.leader_id == message.sender:
            state.commit_to(message.commit_index)

    patch.setattr(raft, "receive_append", receive_append)


def help_at_once_after_a_restart(patch: pytest.MonkeyPatch) -> None:
    """A server that restarts votes although it may have heard a leader the moment before (thesis §6.4.1)."""
    true_init = RaftState.__init__

    def init(self: RaftState, **arguments: Any) -> None:
        true_init(self, **arguments)
        self.vote_guard_until_ms = arguments["now_ms"]

    patch.setattr(RaftState, "__init__", init)


def lease_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    """The lease runs from when an answer came, not from when its question was sent (thesis §6.4.1)."""
    true_answered = progress.Progress.answered

    def answered(self: progress.Progress, round_number: int, sent_ms: int, now_ms: int) -> None:
        true_answered(self, round_number, now_ms, now_ms)

    patch.setattr(progress.Progress, "answered", answered)


def keep_the_lease_when_leaving(patch: pytest.MonkeyPatch) -> None:
    """A leader that removes itself keeps its lease, for which the one voter that is left does not wait."""

    def update_lease(self: RaftState, now_ms: int) -> None:
        leadership = self.leadership
        if leadership is not None:
            acked_ms = leadership.tracker.acked_sent_ms()
            is_held = acked_ms is not None and not leadership.transfer_sent
            leadership.lease_until_ms = (acked_ms or 0) + self.timing.lease_ms if is_held else 0

    patch.setattr(RaftState, "update_lease", update_lease)


def lead_with_a_disk_that_hangs(patch: pytest.MonkeyPatch) -> None:
    """A leader goes on for as long as its followers answer, though it can apply and answer nothing."""
    patch.setattr(Timing, "stall_ms", 1 << 60)


def tell_of_a_commitment_once(patch: pytest.MonkeyPatch) -> None:
    """Where the message is lost that says what is committed, a follower waits for the next write."""
    true_answered = progress.Progress.answered

    def answered(self: progress.Progress, round_number: int, sent_ms: int, now_ms: int) -> None:
        true_answered(self, round_number, sent_ms, now_ms)
        self.commit_known = self.commit_sent

    patch.setattr(progress.Progress, "answered", answered)


def follow_a_leader_of_the_past(patch: pytest.MonkeyPatch) -> None:
    """A follower takes entries from a leader of an older term (§5.1)."""
    true_receive = following.receive_append

    def receive_append(state: RaftState, message: AppendEntries, now_ms: int) -> None:
        true_receive(state, msgspec.structs.replace(message, term=max(message.term, state.term)), now_ms)

    patch.setattr(raft, "receive_append", receive_append)


def apply_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    """What is committed elsewhere is applied here before the log has it: the state would outlive its log."""

    def committed(self: raft.Raft) -> list[LogEntry]:
        if self.commit_index <= self.applied_index or self.log.pending_snapshot is not None:
            return []
        limit = self.limits.apply_bytes_max
        return list(self.log.entries(self.applied_index + 1, self.commit_index, self.commit_index, limit))

    patch.setattr(raft.Raft, "_committed", committed)


def vote_twice_in_a_term(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets the vote, also when another has it (§5.2)."""
    true_vote = election._vote

    def vote(state: RaftState, request: RequestVote, now_ms: int) -> None:
        if request.term == state.term and state.role is Role.FOLLOWER:
            state.vote = ""
        true_vote(state, request, now_ms)

    patch.setattr(election, "_vote", vote)


def stand_without_asking_first(patch: pytest.MonkeyPatch) -> None:
    """There is no pre-vote, so that a server that hears nobody raises its term again and again (thesis §9.6)."""

    def ask_first(state: RaftState, now_ms: int) -> None:
        election.stand(state, now_ms, transfer=False)

    patch.setattr(election, "_ask_first", ask_first)


def look_at_once_whether_there_is_room(patch: pytest.MonkeyPatch) -> None:
    """A single voter without room on its disk asks again at once, and again, and does nothing else."""
    patch.setattr(election, "_set_candidate_timer", RaftState.reset_election_timer)


def ignore_the_window(patch: pytest.MonkeyPatch) -> None:
    """However slow a follower is, it is sent more (etcd's MaxInflightMsgs)."""

    def is_full(self: progress.Progress, limits: Limits) -> bool:
        return self.state is progress.ProgressState.SNAPSHOT or (
            self.state is progress.ProgressState.PROBE and self.paused
        )

    patch.setattr(progress.Progress, "is_full", is_full)


def drop_what_is_not_known_to_be_committed(patch: pytest.MonkeyPatch) -> None:
    """A leader whose commitment makes no progress drops the rest of its log, to begin anew (§5.3)."""
    true_heartbeats = replication.broadcast_heartbeats

    def broadcast_heartbeats(state: RaftState, now_ms: int) -> None:
        leadership = state.leadership
        if leadership is not None and leadership.term_start_index <= state.commit_index < state.log.last_index:
            is_late = now_ms > leadership.tracker.contact_ms() + 100
            state.truncate_from(state.commit_index + 1 if is_late else state.log.last_index + 1, now_ms)
        true_heartbeats(state, now_ms)

    patch.setattr(raft, "broadcast_heartbeats", broadcast_heartbeats)
