"""Serf above SWIM: intents, user events and queries with their Lamport clocks, and Serf's part of a push/pull."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

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
from .serf_messages import JoinIntent, LeaveIntent, SerfState, UserEventMessage, decode_serf, decode_serf_state
from .user_events import UserEvents


class Serf:
    """Watches SWIM (`rules.Watcher`) and keeps the state of the exchanges (`exchange.StateKeeper`)."""

    def __init__(
        self, env: Environment, own_name: str, courier: Courier, application: Application, keyring: Keyring
    ) -> None:
        self._env = env
        self._own_name = own_name
        self._courier = courier
        self.clock = LamportClock()
        notifier = Notifier(env)
        self.roster = roster = Roster(
            env, own_name, self.announce_join, notifier.member, application.reconnect_timeout_of
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
        return SerfState(
            self.clock.time,
            self.user_events.clock.time,
            self.queries.clock.time,
            self.roster.status_times(),
            [member.name for member in self.roster.listed(MemberStatus.LEFT)],
            self.user_events.remembered(),
        ).encode()

    def merge_state(self, state: bytes, *, skip_events: bool) -> Generator[None, None, None]:
        """Take over Serf's part of a peer's push/pull; yields now and then. Raises PeerProtocolError."""
        remote = decode_serf_state(state)
        for clock, time in (
            (self.clock, remote.lamport_time),
            (self.user_events.clock, remote.event_time),
            (self.queries.clock, remote.query_time),
        ):
            if time > 0:
                clock.witness(time - 1)
        left = set(remote.left_members)
        names = [*remote.left_members, *(name for name in remote.status_times if name not in left)]
        for start in range(0, len(names), STATES_AT_ONCE):
            for name in names[start : start + STATES_AT_ONCE]:
                self._merge_status(name, remote.status_times.get(name, 0), has_left=name in left)
            yield
        self.user_events.merge(remote.events, skip_up_to=remote.event_time if skip_events else 0)

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
