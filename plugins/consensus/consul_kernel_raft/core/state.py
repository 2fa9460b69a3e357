"""The state of one server (paper, figure 2) and the few operations that every rule is made of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from consul_kernel.contracts.consensus import Configuration, Role
from consul_kernel.contracts.store import HardState, LogEntry

from .configurations import ConfigurationHistory
from .entry import EntryKind, decode_configuration
from .log import LogReader, RaftLog
from .messages import AppendEntriesResponse, Message, SnapshotPoint
from .reads import ReadQueue
from .ready import ReadState, Write
from .settings import Limits, Timing
from .tracker import FOREVER_MS, ReplicationTracker, voter_ids


@dataclass(slots=True)
class Leadership:
    """What exists only while this server leads."""

    tracker: ReplicationTracker
    term_start_index: int
    """Index of the no-op with which the term began."""
    heartbeat_at_ms: int
    since_ms: int
    poke_at_ms: int | None = None
    """When followers that have not been told of the commit index are told."""
    lease_until_ms: int = 0
    transfer_target: str | None = None
    transfer_until_ms: int = 0
    transfer_sent: bool = False
    stalled: bool = False
    """Given up because a write took too long."""


class RaftState:
    """Everything that one server remembers; the modules beside this one hold the rules that change it."""

    def __init__(
        self,
        *,
        server_id: str,
        store: LogReader,
        snapshot: SnapshotPoint | None,
        applied_index: int,
        timing: Timing,
        limits: Limits,
        rng: random.Random,
        now_ms: int,
    ) -> None:
        self.id = server_id
        self.timing = timing
        self.limits = limits
        self.rng = rng
        self.durable = store.hard_state
        self.term = self.durable.term
        self.vote = self.durable.vote
        snapshot_index, snapshot_term = (snapshot.index, snapshot.term) if snapshot else (0, 0)
        self.log = RaftLog(store, snapshot_index, snapshot_term, limits)
        self.configurations = ConfigurationHistory(snapshot.configuration if snapshot else Configuration())
        self.commit_index = max(snapshot_index, applied_index)
        self.applied_index = applied_index
        self.role = Role.FOLLOWER
        self.pre_voting = False
        self.votes: set[str] = set()
        self.leader_id: str | None = None
        self.leader_contact_ms: int | None = None
        self.leadership: Leadership | None = None
        self.round = 0
        self.reads = ReadQueue()
        self.read_states: list[ReadState] = []
        self.outbox: list[Message] = []
        self.held: list[Message] = []
        """Messages that vouch for what no write has taken up yet."""
        self.releasing: list[Message] = []
        """Messages that vouch for the write under way."""
        self.write: Write | None = None
        self.write_since_ms = now_ms
        self.write_number = 0
        self.stepped_ms = now_ms
        """When the last event was taken in."""
        self.peer_errors = 0
        self.without_room: set[str] = set()
        """Parts of this server that cannot write for now, since the disk is full."""
        # A server that has just started may have heard from a leader the moment before it stopped: of any term but
        # the zeroth, and not only where its log holds something, since a new server follows before it is sent entries.
        has_history = self.log.last_index > 0 or self.term > 0
        self.vote_guard_until_ms = now_ms + timing.heartbeat_timeout_ms if has_history else now_ms
        self.election_deadline_ms: int | None = None
        self.reset_election_timer(now_ms)

    # --- who may do what ---

    @property
    def configuration(self) -> Configuration:
        return self.configurations.latest

    @property
    def voters(self) -> frozenset[str]:
        return self.configurations.voters

    @property
    def may_stand(self) -> bool:
        """Whether this server has a vote, or had one before a change that may not be committed yet.

        Until it is, this may be the only server whose log lets it win (thesis §4.2.2, figure 4.6). Its own vote does
        not count then.
        """
        if self.id in self.voters:
            return True
        return self.configuration.index > self.commit_index and self.id in voter_ids(self.configurations.previous)

    def reset_election_timer(self, now_ms: int) -> None:
        """Wait for a random time, so that elections rarely collide (§5.2)."""
        if not self.may_stand:
            self.election_deadline_ms = None
        elif self.voters == {self.id}:
            self.election_deadline_ms = now_ms  # nobody to wait for
        else:
            base_ms = self.timing.heartbeat_timeout_ms
            self.election_deadline_ms = now_ms + self.rng.randint(
                base_ms + self.timing.heartbeat_interval_ms, 2 * base_ms
            )

    # --- messages ---

    def send(self, message: Message) -> None:
        """Send without waiting for the disk: the message vouches for nothing that is not durable."""
        self.outbox.append(message)

    def send_when_durable(self, message: Message) -> None:
        """Send once all that this server now remembers is durable (paper, figure 2: persist before answering)."""
        if self.write is None and not self.has_unwritten:
            self.outbox.append(message)
        else:
            self.held.append(message)

    def send_when_term_durable(self, message: Message) -> None:
        """Send once the term and vote are durable; entries on their way to the disk do not matter."""
        if self.durable.term == self.term and self.durable.vote == self.vote:
            self.outbox.append(message)
        else:
            self.held.append(message)

    @property
    def has_unwritten(self) -> bool:
        durable = self.write.hard_state if self.write is not None and self.write.hard_state else self.durable
        return durable.term != self.term or durable.vote != self.vote or self.log.unwritten

    def peer_error(self) -> None:
        """A peer sent what the protocol does not allow; it is counted and otherwise ignored."""
        self.peer_errors += 1

    # --- role ---

    def become_follower(self, term: int, leader_id: str | None, now_ms: int) -> None:
        """Follow, in this term or a newer one (§5.1)."""
        if term > self.term:
            self.term, self.vote = term, ""
        self.role = Role.FOLLOWER
        self.pre_voting = False
        self.votes.clear()
        self.leader_id = leader_id
        self.leadership = None
        self.read_states.extend(self.reads.fail())
        self.reset_election_timer(now_ms)

    def follow(self, term: int, leader_id: str, now_ms: int) -> bool:
        """Take note of a sign of life from the leader of the current or a newer term; whether it can be true."""
        if term == self.term and self.role is Role.LEADER:
            self.peer_error()  # two leaders in one term (§5.2: election safety)
            return False
        if term > self.term or self.role is not Role.FOLLOWER or self.leader_id != leader_id:
            self.become_follower(term, leader_id, now_ms)
        else:
            self.reset_election_timer(now_ms)
        self.leader_contact_ms = now_ms
        self.vote_guard_until_ms = max(self.vote_guard_until_ms, now_ms + self.timing.heartbeat_timeout_ms)
        return True

    # --- log ---

    def append(self, entries: Sequence[LogEntry], now_ms: int) -> None:
        """Add entries to the log; a configuration among them counts from now on (thesis §4.1)."""
        self.log.append(entries)
        for entry in entries:
            if entry.kind == EntryKind.CONFIGURATION:
                self.configurations.add(decode_configuration(entry.data, entry.index))
                self.configuration_changed(now_ms)

    def truncate_from(self, index: int, now_ms: int) -> None:
        """Drop entries that conflict with the leader's (§5.3), and the configurations among them (thesis §4.1)."""
        self.log.truncate_from(index)
        self._withdraw(index)
        if self.configurations.truncate_from(index):
            self.configuration_changed(now_ms)

    def restore(self, snapshot: SnapshotPoint, now_ms: int) -> None:
        """Put a leader's snapshot in the place of the whole log (§7)."""
        self.log.restore(snapshot)
        self._withdraw(snapshot.index + 1)
        self.commit_index = snapshot.index
        self.configurations.reset(snapshot.configuration)
        self.configuration_changed(now_ms)

    def _withdraw(self, index: int) -> None:
        """Answers that wait for the disk no longer vouch for entries from here on, which will never be on it."""
        for position, message in enumerate(self.held):
            if isinstance(message, AppendEntriesResponse) and message.success and message.match_index >= index:
                self.held[position] = msgspec.structs.replace(
                    message, term=self.term, success=False, match_index=0, hint_index=index - 1, hint_term=0
                )

    def configuration_changed(self, now_ms: int) -> None:
        """The latest configuration is another one."""
        if self.leadership is not None:
            self.leadership.tracker.update(self.configuration, self.log.last_index, now_ms)
            self.update_lease(now_ms)
        elif self.election_deadline_ms is None or self.id not in self.voters or self.voters == {self.id}:
            self.reset_election_timer(now_ms)

    def has_uncommitted(self, index: int, term: int) -> bool:
        """Whether this entry is here, not known to be committed, and may be learned to be: a leader counts itself."""
        return self.role is not Role.LEADER and index > self.commit_index and self.log.term(index) == term

    def commit_to(self, index: int) -> bool:
        """Raise the commit index; whether it rose."""
        if index <= self.commit_index:
            return False
        self.commit_index = min(index, self.log.last_index)
        return True

    # --- lease ---

    def update_lease(self, now_ms: int) -> None:
        """The lease runs from the sending of the latest message that a quorum answered (thesis §6.4.1).

        TimeoutNow gives it up for the rest of the term: its receiver may win while the lease would still run. So
        does a leader that is removing itself: the one voter that it leaves behind waits for nobody.
        """
        leadership = self.leadership
        if leadership is None:
            return
        acked_ms = leadership.tracker.acked_sent_ms()
        if acked_ms is None or leadership.transfer_sent or self.id not in self.voters:
            leadership.lease_until_ms = 0
        elif acked_ms == FOREVER_MS:
            leadership.lease_until_ms = FOREVER_MS
        else:
            leadership.lease_until_ms = acked_ms + self.timing.lease_ms

    def current_hard_state(self) -> HardState:
        return HardState(self.term, self.vote)
