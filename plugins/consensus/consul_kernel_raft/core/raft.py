"""The class that drivers and simulations use: events in, `Ready` out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from consul_kernel.contracts.store import LogEntry

from .election import election_timeout, own_vote_is_durable, receive_vote_request, receive_vote_response
from .entry import EntryKind, decode_configuration, encode_configuration
from .events import (
    Bootstrap,
    ChangeConfiguration,
    Committed,
    Event,
    LocalEvent,
    OutOfRoom,
    Propose,
    ReadIndex,
    RoomAgain,
    SnapshotFailed,
    SnapshotSaved,
    Timer,
    TransferLeadership,
    Unreachable,
    WriteDone,
)
from .following import learn_commitment, receive_append, receive_heartbeat, receive_snapshot, receive_timeout_now
from .membership import refuse_change
from .messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from .ready import ReadState, Ready, Write
from .replication import (
    begin_reads,
    broadcast_appends,
    broadcast_heartbeats,
    maybe_commit,
    poke,
    receive_append_response,
    receive_heartbeat_response,
    receive_install_response,
    snapshot_failed,
    unreachable,
)
from .room import STATE, room_changed
from .state import RaftState
from .transfer import begin_transfer, end_transfer, give_way


class Raft(RaftState):
    """One server's part in the algorithm.

    The driver calls `step` with each event, then does what `ready` says until it says None, and calls `step`
    with a `Timer` at `deadline_ms`. Made once for each start, on a store that was recovered: `snapshot` is the
    newest one, and the log continues it; the entries after it are read once, for their configurations.
    """

    # --- input ---

    def recover(self, entries: Sequence[LogEntry], now_ms: int) -> None:
        """Take the configurations from entries of the store that follow the snapshot, before the first step."""
        for entry in entries:
            if entry.kind == EntryKind.CONFIGURATION and entry.index > self.configuration.index:
                self.configurations.add(decode_configuration(entry.data, entry.index))
                self.reset_election_timer(now_ms)

    def step(self, event: Event, now_ms: int) -> None:
        """Take one event in. Never raises for what a peer sent.

        Raises StoreError when the log does not give back what it holds; then this server cannot go on.
        """
        self.stepped_ms = now_ms
        match event:
            case AppendEntries():
                receive_append(self, event, now_ms)
            case AppendEntriesResponse():
                receive_append_response(self, event, now_ms)
            case Heartbeat():
                receive_heartbeat(self, event, now_ms)
            case HeartbeatResponse():
                receive_heartbeat_response(self, event, now_ms)
            case RequestVote():
                receive_vote_request(self, event, now_ms)
            case RequestVoteResponse():
                receive_vote_response(self, event, now_ms)
            case InstallSnapshot():
                receive_snapshot(self, event, now_ms)
            case InstallSnapshotResponse():
                receive_install_response(self, event, now_ms)
            case TimeoutNow():
                receive_timeout_now(self, event, now_ms)
            case Committed():
                learn_commitment(self, event)
            case _:
                self._step_local(event, now_ms)

    def _step_local(self, event: LocalEvent, now_ms: int) -> None:
        match event:
            case WriteDone():
                self._write_done(event.number, now_ms)
            case Propose():
                self._propose(event, now_ms)
            case Timer():
                self._timer(now_ms)
            case ReadIndex():
                self._read_index(event, now_ms)
            case OutOfRoom() | RoomAgain():
                room_changed(self, event, now_ms)
            case Unreachable():
                unreachable(self, event.server_id)
            case SnapshotFailed():
                snapshot_failed(self, event.server_id)
            case SnapshotSaved():
                self.log.snapshot_saved(event.snapshot.index, event.snapshot.term)
            case ChangeConfiguration():
                self._change_configuration(event, now_ms)
            case TransferLeadership():
                begin_transfer(self, event.target, now_ms)
            case Bootstrap():
                self._bootstrap(event, now_ms)
            case _:
                assert_never(event)

    # --- output ---

    def ready(self) -> Ready | None:
        """What to do now, or None. At most one write is under way (see `Write`)."""
        write = None
        if self.write is None and self.has_unwritten:
            write = self._begin_write()
        messages, self.outbox = self.outbox, []
        reads, self.read_states = self.read_states, []
        committed = self._committed()
        if write is None and not messages and not reads and not committed:
            return None
        return Ready(write, messages, committed, reads)

    def advance(self, applied_index: int) -> None:
        """The committed entries up to here are applied."""
        self.applied_index = applied_index
        self.configurations.applied(applied_index)
        self.log.trim(applied_index)

    def deadline_ms(self) -> int | None:
        """When a `Timer` is due; None: nothing to wait for."""
        leadership = self.leadership
        if leadership is None:
            return self.election_deadline_ms
        due = [leadership.poke_at_ms] if leadership.poke_at_ms is not None else []
        if leadership.transfer_target is not None:
            due.append(leadership.transfer_until_ms)
        if leadership.tracker.progress:
            due.append(leadership.heartbeat_at_ms)
            due.append(self._quorum_deadline_ms())
            if self.write is not None and not leadership.tracker.is_sole_voter:
                due.append(self.write_since_ms + self.timing.stall_ms)
        return min(due, default=None)

    # --- questions ---

    @property
    def lease_until_ms(self) -> int:
        """Until when no other server can lead and every read here is current; 0: not now.

        Not before the no-op of the term is applied: until then older commands may be missing here.
        """
        leadership = self.leadership
        if leadership is None or self.applied_index < leadership.term_start_index:
            return 0
        return leadership.lease_until_ms

    @property
    def may_propose(self) -> bool:
        """Whether a proposal would be appended."""
        leadership = self.leadership
        return leadership is not None and leadership.transfer_target is None and not self.without_room

    @property
    def may_change_later(self) -> bool:
        """Whether a change is refused only because another entry has to be committed first."""
        leadership = self.leadership
        return leadership is not None and (
            self.configuration.index > self.commit_index or self.commit_index < leadership.term_start_index
        )

    def refuse_change(self, event: ChangeConfiguration) -> str | None:
        """Why this configuration cannot be proposed now; None: it can."""
        return refuse_change(self, event.servers)

    # --- rules of local events ---

    def _begin_write(self) -> Write:
        hard_state = self.current_hard_state()
        self.write_number += 1
        self.write_since_ms = self.stepped_ms
        self.write = Write(
            number=self.write_number,
            hard_state=hard_state if hard_state != self.durable else None,
            snapshot=self.log.pending_snapshot,
            entries=self.log.take_unwritten(),
        )
        self.releasing, self.held = self.held, []
        return self.write

    def _write_done(self, number: int, now_ms: int) -> None:
        write = self.write
        if write is None or write.number != number:
            return
        self.write = None
        if write.hard_state is not None:
            self.durable = write.hard_state
        self.log.written(write.snapshot)
        if write.snapshot is not None:
            self.applied_index = max(self.applied_index, write.snapshot.index)
        self.outbox.extend(self.releasing)
        self.releasing = []
        if self.held and not self.has_unwritten:
            self.outbox.extend(self.held)
            self.held = []
        own_vote_is_durable(self, now_ms)
        maybe_commit(self, now_ms)

    def _committed(self) -> list[LogEntry]:
        """Committed entries that are durable here too: a state machine must not outlive its log."""
        last = min(self.commit_index, self.log.stable_index)
        if last <= self.applied_index or self.log.pending_snapshot is not None or STATE in self.without_room:
            return []
        return list(self.log.entries(self.applied_index + 1, last, last, self.limits.apply_bytes_max))

    def _propose(self, event: Propose, now_ms: int) -> None:
        if not self.may_propose:
            return
        first, term, kind = self.log.last_index + 1, self.term, int(event.kind)
        entries = [LogEntry(first + offset, term, kind, data) for offset, data in enumerate(event.commands)]
        self.log.append(entries)
        broadcast_appends(self, now_ms)

    def _read_index(self, event: ReadIndex, now_ms: int) -> None:
        room = self.limits.reads_max - len(self.reads) if self.leadership is not None else 0
        self.reads.waiting.extend(event.request_ids[:room])
        self.read_states.extend(ReadState(request_id, None) for request_id in event.request_ids[room:])
        begin_reads(self, now_ms)

    def _timer(self, now_ms: int) -> None:
        if self.leadership is not None:
            self._leader_timer(now_ms)
        elif self.election_deadline_ms is not None and now_ms >= self.election_deadline_ms:
            election_timeout(self, now_ms)

    def _is_stalled(self, now_ms: int) -> bool:
        """Whether the disk keeps a leader waiting that others could do without."""
        return self.write is not None and now_ms >= self.write_since_ms + self.timing.stall_ms

    def _quorum_deadline_ms(self) -> int:
        assert self.leadership is not None
        contact_ms = max(self.leadership.tracker.contact_ms(), self.leadership.since_ms)
        return contact_ms + self.timing.heartbeat_timeout_ms

    def _leader_timer(self, now_ms: int) -> None:
        leadership = self.leadership
        assert leadership is not None
        if leadership.tracker.progress and now_ms >= self._quorum_deadline_ms():
            # Check quorum (thesis §6.2): clients must not wait for a leader that nobody follows.
            self.become_follower(self.term, None, now_ms)
            return
        if not leadership.tracker.is_sole_voter and self._is_stalled(now_ms):
            give_way(self, now_ms)
            return
        if leadership.transfer_target is not None and now_ms >= leadership.transfer_until_ms:
            end_transfer(self, now_ms)
            return
        if leadership.poke_at_ms is not None and now_ms >= leadership.poke_at_ms:
            poke(self, now_ms)
        if leadership.tracker.progress and now_ms >= leadership.heartbeat_at_ms:
            broadcast_heartbeats(self, now_ms)

    def _change_configuration(self, event: ChangeConfiguration, now_ms: int) -> None:
        if self.refuse_change(event) is None:
            index = self.log.last_index + 1
            data = encode_configuration(event.servers)
            self.append([LogEntry(index, self.term, EntryKind.CONFIGURATION, data)], now_ms)
            broadcast_heartbeats(self, now_ms)
            broadcast_appends(self, now_ms)

    def _bootstrap(self, event: Bootstrap, now_ms: int) -> None:
        """All founders have the same list, so that one of them may stand at once instead of after a timeout.

        An election is never unsafe; should this one come too early, all timeouts run as ever.
        """
        if self.log.last_index > 0 or not event.servers:
            return
        self.term = max(self.term, 1)
        self.append([LogEntry(1, 1, EntryKind.CONFIGURATION, encode_configuration(event.servers))], now_ms)
        if event.servers[0].id == self.id and self.id in self.voters:
            self.election_deadline_ms = now_ms
