"""Serf above SWIM: intents, user events and queries with their Lamport clocks, and Serf's part of a push/pull."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership import AcceptMember, MemberStatus, UserEvent
from consul_kernel.contracts.transport import Address

from .courier import Courier
from .environment import Environment
from .events import Notify
from .lamport import LamportClock
from .messages import USER_BYTE, Alive, NodeState, RemoteNode
from .nodes import Node
from .recent import RecentRing
from .roster import Roster, describe
from .rules import VERSION_BYTES
from .serf_messages import (
    FILTER_NODES,
    QUERY_FLAG_ACK,
    QUERY_FLAG_NO_BROADCAST,
    JoinIntent,
    LeaveIntent,
    Query,
    QueryResponse,
    Relay,
    SerfState,
    UserEventMessage,
    decode_serf,
    decode_serf_state,
    names_in_filter,
)
from .wire import unpack_host

_REFUSALS_MAX = 256
_STATUS = {
    NodeState.ALIVE: MemberStatus.ALIVE,
    NodeState.SUSPECT: MemberStatus.ALIVE,
    NodeState.DEAD: MemberStatus.FAILED,
    NodeState.LEFT: MemberStatus.LEFT,
}


class Serf:
    """Watches SWIM (`rules.Watcher`) and keeps the state of the exchanges (`exchange.StateKeeper`)."""

    def __init__(self, env: Environment, own_name: str, courier: Courier, accept: AcceptMember | None) -> None:
        self._env = env
        self._own_name = own_name
        self._courier = courier
        self._accept = accept
        self._refusals: dict[str, str] = {}
        self.clock = LamportClock()
        self.event_clock = LamportClock()
        self.query_clock = LamportClock()
        self.roster = Roster(env, own_name, self.announce_join)
        self._recent_events: RecentRing[tuple[str, bytes]] = RecentRing()
        self._recent_queries: RecentRing[int] = RecentRing()
        self.intents = courier.add_queue(lambda: len(self.roster))
        self.queries = courier.add_queue(lambda: len(self.roster))
        self.user_events = courier.add_queue(lambda: len(self.roster))

    def resume(self, member_time: int, event_time: int, query_time: int) -> None:
        """Go on after an earlier life that had seen these times: events and queries up to them are not news."""
        self.clock.witness(member_time)
        self.event_clock.witness(event_time)
        self.query_clock.witness(query_time)
        self._recent_events.minimum_time = event_time + 1 if event_time else 0
        self._recent_queries.minimum_time = query_time + 1 if query_time else 0

    # --- watching SWIM ---

    def refuses(self, alive: Alive) -> bool:
        """Whether this node may not be here: its tags cannot be read, the application says no, or there is no room."""
        try:
            if self._refusal(alive, NodeState.ALIVE) is not None:
                return True
        except PeerProtocolError as error:
            self._note_refusal(alive.node, f"Member '{alive.node}' has bad tags: {error}")
            return True
        return self.roster.get(alive.node) is None and not self.roster.make_room()

    def _refusal(self, alive: Alive, state: NodeState) -> str | None:
        address = Address(unpack_host(alive.host), alive.port)
        member = describe(alive.node, address, alive.meta, alive.versions, _STATUS[state])
        reason = None if self._accept is None else self._accept(member)
        if reason is not None:
            self._note_refusal(alive.node, reason)
        return reason

    def _note_refusal(self, name: str, reason: str) -> None:
        """Count every refusal; report one only when it is news."""
        self._env.count("members_refused")
        if self._refusals.pop(name, None) != reason:
            self._env.warn(f"member refused: {reason}")
        if len(self._refusals) >= _REFUSALS_MAX:
            del self._refusals[next(iter(self._refusals))]
        self._refusals[name] = reason

    def refuses_merge(self, nodes: Sequence[RemoteNode]) -> str | None:
        """The first reason against a list of nodes that joins us, or that we join."""
        for entry in nodes:
            if entry.alive.node == self._own_name or len(entry.alive.versions) < VERSION_BYTES:
                continue
            try:
                reason = self._refusal(entry.alive, entry.state)
            except PeerProtocolError:
                continue
            if reason is not None:
                return reason
        return None

    def node_joined(self, node: Node) -> None:
        self.roster.joined(node)

    def node_left(self, node: Node) -> None:
        self.roster.left(node)

    def node_updated(self, node: Node) -> None:
        self.roster.updated(node)

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

    def send_user_event(self, name: str, payload: bytes, *, coalesce: bool) -> str | None:
        """Spread a named message, to this agent as well; why not, or None."""
        limit = self._env.settings.user_event_bytes_max
        if len(name.encode()) + len(payload) > limit:
            return f"user event exceeds configured limit of {limit} bytes before encoding"
        event = UserEventMessage(self.event_clock.time, name, payload, coalesce)
        message = event.encode()
        if len(message) > limit:
            return f"user event exceeds configured limit of {limit} bytes after encoding"
        self.event_clock.stamp()
        self._admit_event(event)
        self._courier.broadcast(self.user_events, USER_BYTE + message)
        return None

    # --- what others say ---

    def receive(self, body: bytes, *, rebroadcast: bool = True) -> None:
        """Handle one user message and pass it on, as the identical bytes, when it is news. Raises PeerProtocolError."""
        message = decode_serf(body)
        match message:
            case LeaveIntent():
                self.clock.witness(message.lamport_time)
                news, queue = self.roster.leave_intended(message), self.intents
            case JoinIntent():
                self.clock.witness(message.lamport_time)
                news, queue = self.roster.join_intended(message), self.intents
            case UserEventMessage():
                news, queue = self._admit_event(message), self.user_events
            case Query():
                news, queue = self._admit_query(message), self.queries
            case Relay():
                self._courier.send_plain(message.target, USER_BYTE + message.inner)
                return
            case _:
                self._env.count("serf_messages_ignored")
                return
        if news and rebroadcast:
            self._courier.broadcast(queue, USER_BYTE + body)

    def _admit_event(self, event: UserEventMessage) -> bool:
        self.event_clock.witness(event.lamport_time)
        item = (event.name, event.payload)
        if not self._recent_events.admit(event.lamport_time, self.event_clock.time, item):
            return False
        self._env.effects.append(Notify(UserEvent(event.name, event.payload, event.lamport_time)))
        return True

    def _admit_query(self, query: Query) -> bool:
        """Acknowledge a query that is for us; whether to pass it on."""
        self.query_clock.witness(query.lamport_time)
        if not self._recent_queries.admit(query.lamport_time, self.query_clock.time, query.query_id):
            return False
        if query.flags & QUERY_FLAG_ACK and query.reply_to is not None and self._is_asked(query):
            ack = QueryResponse(query.lamport_time, query.query_id, self._own_name, QUERY_FLAG_ACK, None)
            self._courier.send_plain(query.reply_to, USER_BYTE + ack.encode())
        return not query.flags & QUERY_FLAG_NO_BROADCAST

    def _is_asked(self, query: Query) -> bool:
        """Whether every filter lets us answer. A tag filter does not: a stranger's regular expression is not run."""
        for content in query.filters:
            if content[:1] != bytes((FILTER_NODES,)):
                return False
            try:
                names = names_in_filter(content[1:])
            except PeerProtocolError:
                return False
            if self._own_name not in names:
                return False
        return True

    # --- push/pull ---

    def local_state(self) -> bytes:
        """Serf's part of a push/pull."""
        return SerfState(
            self.clock.time,
            self.event_clock.time,
            self.query_clock.time,
            self.roster.status_times(),
            [member.name for member in self.roster.with_status(MemberStatus.LEFT)],
            self._recent_events.items(),
        ).encode()

    def merge_state(self, state: bytes, *, skip_events: bool) -> None:
        """Take over Serf's part of a peer's push/pull. Raises PeerProtocolError."""
        remote = decode_serf_state(state)
        for clock, time in (
            (self.clock, remote.lamport_time),
            (self.event_clock, remote.event_time),
            (self.query_clock, remote.query_time),
        ):
            if time > 0:
                clock.witness(time - 1)
        left = set(remote.left_members)
        for name in remote.left_members:
            # The time of the leave itself is not sent; it must have been later than the last status time.
            status_time = remote.status_times.get(name, 0) + 1
            self.clock.witness(status_time)
            self.roster.leave_intended(LeaveIntent(status_time, name))
        for name, status_time in remote.status_times.items():
            if name not in left:
                self.clock.witness(status_time)
                self.roster.join_intended(JoinIntent(status_time, name))
        if skip_events:
            ring = self._recent_events
            ring.minimum_time = max(ring.minimum_time, remote.event_time)
        for lamport_time, items in remote.events.items():
            for name, payload in items:
                self._admit_event(UserEventMessage(lamport_time, name, payload))
