"""The follower's side: appends (§5.3), heartbeats, snapshots (§7) and the request to stand."""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.contracts.consensus import Role
from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.store import LogEntry

from .election import stand
from .entry import EntryKind, decode_configuration
from .events import Committed
from .messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    TimeoutNow,
)
from .state import RaftState


def receive_heartbeat(state: RaftState, message: Heartbeat, now_ms: int) -> None:
    """Note that the leader lives. The answer may not overtake the term on its way to the disk."""
    success = message.term >= state.term and state.follow(message.term, message.sender, now_ms)
    state.send_when_term_durable(
        HeartbeatResponse(
            sender=state.id,
            to=message.sender,
            term=state.term,
            success=success,
            round=message.round,
            sent_ms=message.sent_ms,
            token=message.token,
        )
    )


def receive_append(state: RaftState, message: AppendEntries, now_ms: int) -> None:
    """Append what the leader sends where the logs match; answer when it is durable (figure 2)."""
    if message.term < state.term or not _is_well_formed(message):
        if message.term >= state.term:
            state.peer_error()
        _refuse(state, message, hint_index=state.log.last_index, hint_term=0)
        return
    if not state.follow(message.term, message.sender, now_ms):
        _refuse(state, message, hint_index=state.log.last_index, hint_term=0)
        return
    prev_index, entries = message.prev_index, message.entries
    if prev_index < state.commit_index:
        # What is committed here is the same on the leader (leader completeness); it may be compacted here.
        entries = entries[state.commit_index - prev_index :]
        prev_index = state.commit_index
    elif not state.log.matches(prev_index, message.prev_term):
        hint_index = state.log.last_index_not_after_term(prev_index, message.prev_term)
        _refuse(state, message, hint_index=hint_index, hint_term=state.log.term(hint_index) or 0)
        return
    if not _append_new(state, entries, now_ms):
        _refuse(state, message, hint_index=state.commit_index, hint_term=0)
        return
    match_index = message.prev_index + len(message.entries)
    state.commit_to(min(message.commit_index, match_index))
    if message.prev_index < state.commit_index:
        match_index = max(match_index, state.commit_index)  # so that nobody sends what is here already
    state.send_when_durable(
        AppendEntriesResponse(
            sender=state.id,
            to=message.sender,
            term=state.term,
            success=True,
            prev_index=message.prev_index,
            match_index=match_index,
            hint_index=state.log.last_index,
            commit_index=message.commit_index,
            round=message.round,
            sent_ms=message.sent_ms,
            token=message.token,
        )
    )


def learn_commitment(state: RaftState, event: Committed) -> None:
    """Another server has applied this entry. Where it is here, so is all that came before it (log matching, §5.3)."""
    if state.has_uncommitted(event.index, event.term):
        state.commit_to(event.index)


def _append_new(state: RaftState, entries: Sequence[LogEntry], now_ms: int) -> bool:
    """Skip entries that are there, drop what conflicts, append the rest (§5.3); False where that cannot be."""
    for position, entry in enumerate(entries):
        if state.log.matches(entry.index, entry.term):
            continue
        if entry.index <= state.commit_index:
            state.peer_error()  # a committed entry never changes
            return False
        if entry.index <= state.log.last_index:
            state.truncate_from(entry.index, now_ms)
        state.append(entries[position:], now_ms)
        break
    return True


def _is_well_formed(message: AppendEntries) -> bool:
    """Whether the entries are contiguous, of terms that never fall, and not from the future."""
    index, term = message.prev_index, message.prev_term
    for entry in message.entries:
        index += 1
        if entry.index != index or not term <= entry.term <= message.term:
            return False
        term = entry.term
        if entry.kind == EntryKind.CONFIGURATION:
            try:
                decode_configuration(entry.data, entry.index)
            except PeerProtocolError:
                return False
    return message.prev_index >= 0 and message.prev_term >= 0


def _refuse(state: RaftState, message: AppendEntries, *, hint_index: int, hint_term: int) -> None:
    state.send_when_term_durable(
        AppendEntriesResponse(
            sender=state.id,
            to=message.sender,
            term=state.term,
            success=False,
            prev_index=message.prev_index,
            hint_index=hint_index,
            hint_term=hint_term,
            commit_index=message.commit_index,
            round=message.round,
            sent_ms=message.sent_ms,
            token=message.token,
        )
    )


def receive_snapshot(state: RaftState, message: InstallSnapshot, now_ms: int) -> None:
    """Replace state and log by the leader's snapshot, unless the log already goes that far (figure 13)."""
    snapshot = message.snapshot
    success = message.term >= state.term
    if success and not 0 < snapshot.term <= message.term:
        state.peer_error()
        success = False
    success = success and state.follow(message.term, message.sender, now_ms)
    if success and snapshot.index > state.commit_index:
        if state.log.matches(snapshot.index, snapshot.term):
            state.commit_to(snapshot.index)  # step 6: what follows it is kept
        else:
            state.restore(snapshot, now_ms)
    state.send_when_durable(
        InstallSnapshotResponse(
            sender=state.id,
            to=message.sender,
            term=state.term,
            success=success,
            index=snapshot.index,
            token=message.token,
        )
    )


def receive_timeout_now(state: RaftState, message: TimeoutNow, now_ms: int) -> None:
    """Stand at once, without pre-vote: the leader itself asks for it (thesis §3.10)."""
    if message.term != state.term or state.role is not Role.FOLLOWER or state.log.pending_snapshot is not None:
        return
    if state.id in state.voters and not state.without_room:
        stand(state, now_ms, transfer=True)
