"""Serf above SWIM: intents, user events and queries with their Lamport clocks, and Serf's part of a push/pull."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence

from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership import MemberStatus
from consul_kernel.contracts.membership_capabilities import KeyringOutcome, QueryOutcome, QueryRequest

from .admission import Admission
from .application import Application
from .coalescing import Notifier
from .courier import Courier
from .environment import Environment
from .events import OperateKeyring
from .exchange import STATES_AT_ONCE
from .internal_queries import InternalQueries
from .keyring import Keyring
from .keyring_operations import KeyringOperations
from .lamport import LamportClock
from .messages import USER_BYTE, Alive, RemoteNode
from .name_conflict import NameConflict
from .nodes import Node
from .queries import Queries
from .query_messages import Query, QueryResponse, Relay
from .query_requests import question_for
from .queue_watch import QueueWatch
from .responder import Responder
from .roster import Roster
from .serf_messages import (
    Brief,
    JoinIntent,
    LeaveIntent,
    SerfState,
    UserEventMessage,
    decode_brief,
    decode_serf,
    decode_serf_state,
)
from .serf_types import EVENT_BUFFER
from .user_events import UserEvents


class Serf:
    """Watches SWIM (`rules.Watcher`) and keeps the state of the exchanges (`exchange.StateKeeper`)."""

    def __init__(
        self,
        env: Environment,
        own_name: str,
        courier: Courier,
        application: Application,
        keyring: Keyring,
        changed: set[str] | None = None,
    ) -> None:
        self._env = env
        self._own_name = own_name
        self._courier = courier
        self.clock = LamportClock()
        notifier = Notifier(env)
        self.roster = roster = Roster(
            env, own_name, self.announce_join, notifier.member, application.reconnect_timeout_of, changed
        )
        self._admission = Admission(env, own_name, roster, application)
        # In the order in which gossip prefers them.
        self.intents = courier.add_queue(lambda: len(roster))
        internal = InternalQueries(env, own_name, roster, keyring)
        responder = Responder(env, own_name, courier, roster, internal, application.answer_query)
        self.queries = Queries(env, own_name, courier, roster, responder)
        self.user_events = UserEvents(env, courier, roster, notifier)
        self._keyring_operations = KeyringOperations(env, self.queries, roster)
        self._name_conflict = NameConflict(env, own_name, self.queries, roster)
        self._queue_watch = QueueWatch(
            env, {"Intent": self.intents, "Query": self.queries.queue, "Event": self.user_events.queue}
        )

    def start(self, member_time: int, event_time: int, query_time: int) -> None:
        """Begin, after an earlier life that had seen these times: events and queries up to them are not news."""
        self.clock.witness(member_time)
        self.user_events.resume(event_time)
        self.queries.resume(query_time)
        self._queue_watch.start()

    # --- watching SWIM ---

    def refuses(self, alive: Alive) -> bool:
        return self._admission.refuses(alive)

    def check_merge(self, nodes: Sequence[RemoteNode]) -> Generator[None, None, str | None]:
        return self._admission.check_merge(nodes)

    def node_joined(self, node: Node) -> None:
        self.roster.joined(node)
        self._pass_on_leave(node.name)

    def node_left(self, node: Node) -> None:
        self.roster.left(node)

    def node_updated(self, node: Node) -> None:
        self.roster.updated(node)

    def own_name_claimed(self) -> None:
        self._name_conflict.claimed()

    # --- what this agent says ---

    def announce_join(self) -> None:
        """Tell everybody that this agent is here, later than any rumour that it leaves."""
        intent = JoinIntent(self.clock.stamp(), self._own_name)
        self.roster.join_intended(intent)
        self._courier.broadcast(self.intents, USER_BYTE + intent.encode())

    def announce_leave(self, name: str, *, prune: bool, on_sent: Callable[[], None] | None = None) -> None:
        """Say that a member leaves: this agent, or a failed one that is to count as left."""
        intent = LeaveIntent(self.clock.stamp(), name, prune)
        self.roster.leave_intended(intent)
        self._courier.broadcast(self.intents, USER_BYTE + intent.encode(), on_sent=on_sent)

    def ask(self, command_id: int, request: QueryRequest) -> None:
        """Ask the pool; the command is done with a `QueryOutcome`."""

        def finish(outcome: QueryOutcome) -> None:
            self._env.finish(command_id, outcome=outcome)

        try:
            error = self.queries.ask(question_for(request), finish)
        except MembershipError as fault:
            error = str(fault)
        if error is not None:
            self._env.finish(command_id, error)

    def operate_keyring(self, command: OperateKeyring) -> None:
        """Work on every ring; the command is done with a `KeyringOutcome`."""

        def finish(outcome: KeyringOutcome) -> None:
            self._env.finish(command.command_id, outcome=outcome)

        self._keyring_operations.start(
            command.operation,
            command.key,
            command.relay_factor,
            finish,
            lambda error: self._env.finish(command.command_id, error),
        )

    # --- what others say ---

    def receive(self, body: bytes) -> None:
        """Handle one user message and pass it on, as the identical bytes, when it is news. Raises PeerProtocolError."""
        message = decode_serf(body)
        match message:
            case LeaveIntent() | JoinIntent():
                self.clock.witness(message.lamport_time)
                if self._intended(message):
                    self._courier.broadcast(self.intents, USER_BYTE + body)
            case UserEventMessage():
                self.user_events.receive_message(message, body)
            case Query():
                self.queries.receive_message(message, body)
            case QueryResponse():
                self.queries.take_response(message)
            case Relay():
                self._env.count("query_relays_forwarded")
                self._courier.send_plain(message.target, USER_BYTE + message.inner)
            case _:
                self._env.count("serf_messages_ignored")

    def _intended(self, intent: LeaveIntent | JoinIntent) -> bool:
        if isinstance(intent, LeaveIntent):
            return self.roster.leave_intended(intent)
        return self.roster.join_intended(intent)

    # --- push/pull ---

    def local_state(self) -> bytes:
        """Serf's part of a push/pull."""
        left = [member.name for member in self.roster.listed(MemberStatus.LEFT)]
        return self._state(self.roster.status_times(), left, self.user_events.remembered()).encode()

    def _state(
        self, times: dict[str, int], left: Sequence[str], events: Mapping[int, Sequence[tuple[str, bytes]]]
    ) -> SerfState:
        clocks = self.clock.time, self.user_events.clock.time, self.queries.clock.time
        return SerfState(*clocks, times, left, events)

    def merge_state(self, state: bytes, *, skip_events: bool) -> Generator[None, None, None]:
        """Take over Serf's part of a peer's push/pull; yields now and then. Raises PeerProtocolError."""
        remote = decode_serf_state(state)
        self._witness(remote)
        left = set(remote.left_members)
        names = [*remote.left_members, *(name for name in remote.status_times if name not in left)]
        for start in range(0, len(names), STATES_AT_ONCE):
            for name in names[start : start + STATES_AT_ONCE]:
                self._merge_status(name, remote.status_times.get(name, 0), has_left=name in left)
            yield
        self.user_events.merge(remote.events, skip_up_to=remote.event_time if skip_events else 0)

    def _witness(self, remote: SerfState | Brief) -> None:
        for clock, time in (
            (self.clock, remote.lamport_time),
            (self.user_events.clock, remote.event_time),
            (self.queries.clock, remote.query_time),
        ):
            if time > 0:
                clock.witness(time - 1)

    # --- digests ---

    def brief(self, peers: bytes = b"") -> bytes:
        """The clocks, and from which time on events are remembered; in an answer, what they are from there on."""
        theirs = decode_brief(peers) if peers else None
        events = 0 if theirs is None else self.user_events.hash_since(self._shared_since(theirs))
        return Brief(
            self.clock.time,
            self.user_events.clock.time,
            self.queries.clock.time,
            self.user_events.minimum_time,
            events,
        ).encode()

    def take_brief(self, brief: bytes) -> None:
        """Witness a peer's clocks. Raises PeerProtocolError."""
        self._witness(decode_brief(brief))

    def differs_in_events(self, answered: bytes) -> bool:
        """Whether, from the time on that both remember, the peer that answered has other events."""
        theirs = decode_brief(answered)
        return self.user_events.hash_since(self._shared_since(theirs)) != theirs.events

    def _shared_since(self, theirs: Brief) -> int:
        events = self.user_events
        oldest = max(events.clock.time, theirs.event_time) - EVENT_BUFFER
        return max(events.minimum_time, theirs.events_since, oldest)

    def failed(self) -> list[tuple[str, int]]:
        """Names and Lamport times of the failed."""
        names = (member.name for member in self.roster.listed(MemberStatus.FAILED))
        return [(name, self.roster.status_time(name) or 0) for name in names]

    def knows_else(self, name: str, failed_time: int) -> bool:
        """Whether a member is known to have left, or to have failed at another Lamport time."""
        member = self.roster.get(name)
        if member is None or member.status not in (MemberStatus.FAILED, MemberStatus.LEFT):
            return False
        return member.status is MemberStatus.LEFT or self.roster.status_time(name) != failed_time

    def partial_state(self, names: Sequence[str], *, with_events: bool) -> bytes:
        """Serf's part of a push/pull, of some members."""
        roster = self.roster
        times = {name: time for name in names if (time := roster.status_time(name)) is not None}
        left = [
            name for name in times if (member := roster.get(name)) is not None and member.status is MemberStatus.LEFT
        ]
        events = self.user_events.remembered() if with_events else {}
        return self._state(times, left, events).encode_briefly()

    def _merge_status(self, name: str, status_time: int, *, has_left: bool) -> None:
        """What a peer knows last of a member. The time of a leave is not sent; it must have been later than that."""
        status_time += has_left
        self.clock.witness(status_time)
        if self.roster.has_news_since(name, status_time):
            return
        if has_left:
            if self.roster.leave_intended(LeaveIntent(status_time, name)):
                self._pass_on_leave(name)
        else:
            self.roster.join_intended(JoinIntent(status_time, name))

    def _pass_on_leave(self, name: str) -> None:
        """Tell somebody who is there that it is said to leave: if it does not, it contradicts.

        What comes with a push/pull nobody else passes on, and who was gone when it was said has not heard it.
        """
        leave_time = self.roster.leave_time(name)
        if leave_time is not None and name != self._own_name:
            self._courier.broadcast(self.intents, USER_BYTE + LeaveIntent(leave_time, name).encode())
