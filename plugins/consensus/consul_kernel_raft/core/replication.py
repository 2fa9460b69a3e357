"""The leader's side of replication (§5.3), commitment (§5.4.2) and heartbeats."""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.contracts.consensus import Configuration, Role
from consul_kernel.contracts.store import LogEntry

from .entry import EntryKind
from .messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    SnapshotPoint,
)
from .progress import Progress, ProgressState
from .state import Leadership, RaftState
from .tracker import ReplicationTracker
from .transfer import maybe_hand_over


def begin_leadership(state: RaftState, now_ms: int) -> None:
    """The election is won: lead, and append a no-op, whose commitment commits all before it (§5.2, §8)."""
    last_index = state.log.last_index
    state.role = Role.LEADER
    state.leader_id = state.id
    state.leader_contact_ms = now_ms
    state.election_deadline_ms = None
    state.leadership = Leadership(
        tracker=ReplicationTracker(state.id, state.configuration, last_index, now_ms),
        term_start_index=last_index + 1,
        heartbeat_at_ms=now_ms + state.timing.heartbeat_interval_ms,
        since_ms=now_ms,
    )
    state.append([LogEntry(last_index + 1, state.term, EntryKind.NOOP, b"")], now_ms)
    state.update_lease(now_ms)
    broadcast_heartbeats(state, now_ms)
    broadcast_appends(state, now_ms)


# --- sending ---


def broadcast_heartbeats(state: RaftState, now_ms: int) -> None:
    """Assert leadership to all; every answer confirms all rounds up to this one."""
    leadership = state.leadership
    if leadership is None:
        return
    leadership.heartbeat_at_ms = now_ms + state.timing.heartbeat_interval_ms
    for server_id in leadership.tracker.progress:
        state.send(Heartbeat(sender=state.id, to=server_id, term=state.term, round=state.round, sent_ms=now_ms))


def broadcast_appends(state: RaftState, now_ms: int) -> None:
    """Send every follower what it lacks, as far as its window is open."""
    if state.leadership is None:
        return
    for server_id, progress in state.leadership.tracker.progress.items():
        send_appends(state, server_id, progress, now_ms)


def send_appends(state: RaftState, server_id: str, progress: Progress, now_ms: int) -> None:
    """Fill the follower's window."""
    while progress.next_index <= state.log.last_index and send_append(state, server_id, progress, now_ms):
        pass


def send_append(state: RaftState, server_id: str, progress: Progress, now_ms: int) -> bool:
    """Send one append, empty where there is nothing to send; whether the window had room for it."""
    limits, log, first = state.limits, state.log, progress.next_index
    if progress.is_full(limits):
        return False
    if first < log.first_index or log.term(first - 1) is None:
        _send_snapshot(state, server_id, progress)
        return False
    # A StoreError here means that the log does not give back what it holds: the driver stops the server.
    entries = log.entries(first, log.last_index, limits.append_entries_max, limits.append_bytes_max)
    _send(state, server_id, progress, entries, now_ms)
    if entries or progress.state is ProgressState.PROBE:
        progress.sent(first - 1 + len(entries), sum(len(entry.data) for entry in entries))
    return True


def _send(state: RaftState, server_id: str, progress: Progress, entries: Sequence[LogEntry], now_ms: int) -> None:
    prev_index = progress.next_index - 1
    state.send(
        AppendEntries(
            sender=state.id,
            to=server_id,
            term=state.term,
            prev_index=prev_index,
            prev_term=state.log.term(prev_index) or 0,
            entries=entries,
            commit_index=state.commit_index,
            round=state.round,
            sent_ms=now_ms,
        )
    )
    progress.commit_sent = max(progress.commit_sent, min(state.commit_index, prev_index + len(entries)))


def _send_again(state: RaftState, server_id: str, progress: Progress, now_ms: int) -> None:
    """Ask how far the follower is, with an append that has no entries: an answer may be lost, or only late.

    Entries are not repeated before it is known that they are missing, or a follower whose disk hangs, and that
    answers heartbeats all the same, would be sent them again with every one.
    """
    if progress.state is ProgressState.SNAPSHOT:
        return
    if state.log.term(progress.next_index - 1) is None:
        _send_snapshot(state, server_id, progress)
    else:
        _send(state, server_id, progress, (), now_ms)


def _send_snapshot(state: RaftState, server_id: str, progress: Progress) -> None:
    """The entries that the follower needs next are not kept any more (§7)."""
    log = state.log
    if log.snapshot_index == 0 or log.pending_snapshot is not None:
        progress.probe(paused=True)
        return
    point = SnapshotPoint(
        id="",
        index=log.snapshot_index,
        term=log.snapshot_term,
        configuration=Configuration(),
    )
    progress.install(point.index)
    state.send(InstallSnapshot(sender=state.id, to=server_id, term=state.term, snapshot=point))


# --- answers ---


def _progress_of(state: RaftState, sender: str, term: int, now_ms: int) -> Progress | None:
    """The sender's progress, where an answer of this term still matters to this leader."""
    if term > state.term:
        state.become_follower(term, None, now_ms)
        return None
    if state.leadership is None or term < state.term:
        return None
    return state.leadership.tracker.progress.get(sender)


def receive_append_response(state: RaftState, response: AppendEntriesResponse, now_ms: int) -> None:
    """Note how far the follower's log matches, commit, and send more (§5.3)."""
    progress = _progress_of(state, response.sender, response.term, now_ms)
    if progress is None:
        return
    if max(response.match_index, response.prev_index) > state.log.last_index:
        state.peer_error()
        return
    _answered(state, progress, response.round, response.sent_ms, now_ms)
    if response.success:
        progress.matched(response.match_index)
        progress.commit_known = max(progress.commit_known, min(response.commit_index, response.match_index))
        maybe_commit(state, now_ms)
        maybe_hand_over(state)
    else:
        matching = response.hint_index
        if response.hint_term:
            # Skip a whole conflicting term at once instead of entry by entry (§5.3, end).
            matching = state.log.last_index_not_after_term(matching, response.hint_term)
        if not progress.rejected(response.prev_index, max(0, matching)):
            return
        send_append(state, response.sender, progress, now_ms)
    if state.leadership is not None:
        send_appends(state, response.sender, progress, now_ms)


def receive_heartbeat_response(state: RaftState, response: HeartbeatResponse, now_ms: int) -> None:
    """A sign of life: extend the lease, confirm reads, and retry what may have been lost."""
    progress = _progress_of(state, response.sender, response.term, now_ms)
    if progress is None or not response.success:
        return
    _answered(state, progress, response.round, response.sent_ms, now_ms)
    if progress.match_index < state.log.last_index or progress.commit_known < state.commit_index:
        _send_again(state, response.sender, progress, now_ms)


def _answered(state: RaftState, progress: Progress, round_number: int, sent_ms: int, now_ms: int) -> None:
    progress.answered(min(round_number, state.round), sent_ms, now_ms)
    state.update_lease(now_ms)
    confirm_reads(state, now_ms)


def receive_install_response(state: RaftState, response: InstallSnapshotResponse, now_ms: int) -> None:
    """The follower has the snapshot, or refused it; go on with entries."""
    progress = _progress_of(state, response.sender, response.term, now_ms)
    if progress is None or response.index > state.log.last_index:
        return
    if response.success:
        progress.contact_ms = now_ms
        progress.matched(response.index)
        maybe_commit(state, now_ms)
        send_appends(state, response.sender, progress, now_ms)
    elif progress.state is ProgressState.SNAPSHOT:
        snapshot_failed(state, response.sender)


def unreachable(state: RaftState, server_id: str) -> None:
    """Something sent may be lost: go back to one append at a time, after the next sign of life."""
    if state.leadership is not None:
        progress = state.leadership.tracker.progress.get(server_id)
        if progress is not None and progress.state is ProgressState.REPLICATE:
            progress.probe(paused=True)


def snapshot_failed(state: RaftState, server_id: str) -> None:
    """Try again after the next sign of life."""
    if state.leadership is not None:
        progress = state.leadership.tracker.progress.get(server_id)
        if progress is not None and progress.state is ProgressState.SNAPSHOT:
            progress.snapshot_index = 0
            progress.probe(paused=True)


# --- commitment ---


def maybe_commit(state: RaftState, now_ms: int) -> None:
    """Commit what is durable on a quorum, once an entry of the current term is (§5.4.2, figure 8)."""
    leadership = state.leadership
    if leadership is None:
        return
    index = leadership.tracker.match_index(state.log.stable_index)
    if state.log.term(index) != state.term or not state.commit_to(index):
        return
    if leadership.poke_at_ms is None and leadership.tracker.progress:
        leadership.poke_at_ms = now_ms + state.timing.commit_ms
    begin_reads(state, now_ms)
    if state.configuration.index <= state.commit_index and state.id not in state.voters:
        _leave(state, now_ms)


def poke(state: RaftState, now_ms: int) -> None:
    """Tell the followers that have not heard of it how far the log is committed."""
    leadership = state.leadership
    if leadership is None:
        return
    leadership.poke_at_ms = None
    for server_id, progress in leadership.tracker.progress.items():
        if progress.state is ProgressState.REPLICATE and progress.commit_sent < state.commit_index:
            send_append(state, server_id, progress, now_ms)


def _leave(state: RaftState, now_ms: int) -> None:
    """The change that removed this leader is committed: tell the others and step down (thesis §4.2.2)."""
    poke(state, now_ms)
    state.become_follower(state.term, None, now_ms)


# --- reads ---


def begin_reads(state: RaftState, now_ms: int) -> None:
    """Start a round for the reads that wait, if none is under way.

    Not before an entry of this term is committed: until then a leader does not know what its predecessors
    committed (thesis §6.4, step 1).
    """
    leadership, reads = state.leadership, state.reads
    if leadership is None or reads.confirming or not reads.waiting:
        return
    if state.commit_index < leadership.term_start_index:
        return
    state.round += 1
    reads.begin(state.round, state.commit_index)
    if leadership.tracker.is_sole_voter:
        confirm_reads(state, now_ms)
    else:
        broadcast_heartbeats(state, now_ms)


def confirm_reads(state: RaftState, now_ms: int) -> None:
    """Release the reads whose round a quorum has answered."""
    leadership = state.leadership
    if leadership is not None and state.reads.confirming:
        confirmed = state.reads.confirm(leadership.tracker.acked_round())
        if confirmed:
            state.read_states.extend(confirmed)
            begin_reads(state, now_ms)
