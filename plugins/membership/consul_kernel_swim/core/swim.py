"""The core as one class: an input and the time go in, effects come out.

    effects = swim.step(PacketReceived(packet, source), now_ms)
    ...perform them in order...
    wake_at = swim.deadline_ms()

Nothing that a peer sends raises out of `step`: it is counted in `counters` and dropped.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from consul_kernel.contracts.errors import MembershipError, PeerProtocolError
from consul_kernel.contracts.membership import AcceptMember, AcceptMembers, Member, MemberStatus
from consul_kernel.contracts.membership_capabilities import AnswerQuery
from consul_kernel.contracts.transport import Address

from .application import Application
from .coordinates import Coordinates
from .courier import Courier
from .departure import Departure, once_soon
from .digest_messages import Digest, PartialState
from .digest_table import DigestTable, SharedHashes
from .environment import Environment
from .events import (
    AnnounceJoin,
    Answer,
    AskQuery,
    Command,
    DialFailed,
    Effect,
    ForceLeave,
    Input,
    Join,
    Leave,
    OperateKeyring,
    PacketReceived,
    ReplyReceived,
    SendUserEvent,
    SetTags,
    Started,
    StreamReceived,
    TimerFired,
)
from .exchange import Exchanges
from .keyring import Keyring
from .messages import Ack, Alive, Dead, ErrorReply, IndirectPing, Message, Nack, Ping, Suspect, User, decode_message
from .nodes import Node, NodeTable
from .packets import split_packet
from .prober import Prober
from .roster import Record
from .rules import MembershipRules
from .serf import Serf
from .settings import Settings
from .streams import PushPull, UserStream
from .suspicion import Awareness
from .tags import encode_tags
from .timers import Timers
from .wire import U32_MAX, pack_host


@dataclass(frozen=True, slots=True)
class SharedPool:
    """What a member of a pool at rest knows, for many simulated agents at once. Nobody changes it."""

    nodes: Mapping[str, Node]
    records: Mapping[str, Record]
    member_time: int
    hashes: SharedHashes | None


class Swim:
    """One agent's part in one pool.

    `advertise` is what others are told; `accept` is asked before a member is taken in, `accept_list` about all that
    come in one join, `answer_query` when the pool is asked something, `reconnect_timeout_of` when somebody gone may be
    forgotten; none of them may raise. `keyring` is what the pool's operations on keys work on. Raises MembershipError
    when the tags are too long for the wire.
    """

    def __init__(
        self,
        name: str,
        advertise: Address,
        tags: Mapping[str, str],
        settings: Settings,
        rng: random.Random,
        accept: AcceptMember | None = None,
        *,
        accept_list: AcceptMembers | None = None,
        answer_query: AnswerQuery | None = None,
        reconnect_timeout_of: Callable[[Member], int | None] | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._advertise = advertise
        self._meta = encode_tags(tags)
        self._env = env = Environment(settings, rng)
        changed: set[str] | None = set() if settings.digests else None
        self.nodes = NodeTable(name, rng, changed)
        self.courier = Courier(env, self.nodes)
        self.awareness = Awareness(settings.awareness_max_multiplier)
        self._rules = MembershipRules(env, self.nodes, self.courier, self.awareness)
        application = Application(
            accept=accept,
            accept_list=accept_list,
            answer_query=answer_query,
            reconnect_timeout_of=reconnect_timeout_of,
        )
        self.serf = Serf(env, name, self.courier, application, keyring or Keyring(None), changed)
        self._rules.watcher = self.serf
        self.coordinates = Coordinates(rng, name, kept=settings.coordinates, members_max=settings.members_max)
        self.serf.roster.on_erased = self.coordinates.forget
        self._prober = Prober(env, self.nodes, self.courier, self._rules, self.awareness, self.coordinates)
        roster = self.serf.roster
        self.digest_table = DigestTable(
            self.nodes, set() if changed is None else changed, roster.status_time, roster.names
        )
        self._exchanges = Exchanges(env, self.nodes, self._rules, self.serf, self.digest_table)
        self._departure = Departure(env, self.nodes, self._rules, self.serf)
        self._started = False

    # --- looking ---

    def members(self) -> tuple[Member, ...]:
        """Everyone known, this agent included; the same tuple until something changes."""
        return self.serf.roster.members()

    def local_member(self) -> Member:
        """This agent. Raises MembershipError before the start."""
        member = self.serf.roster.get(self.name)
        if member is None:
            raise MembershipError("the membership has not been started")
        return member

    def lamport_times(self) -> tuple[int, int, int]:
        """The last times seen of members, events and queries; 0 for none."""
        serf = self.serf
        return serf.clock.time - 1, serf.user_events.clock.time - 1, serf.queries.clock.time - 1

    @property
    def counters(self) -> Mapping[str, int]:
        """How often something odd was seen, by name."""
        return self._env.counters

    @property
    def timers(self) -> Timers:
        """What waits for its time."""
        return self._env.timers

    def deadline_ms(self) -> int | None:
        """When the next timer is due."""
        return self._env.timers.next_ms()

    def stats(self) -> dict[str, str]:
        """Figures under Serf's names, and the counters of what was odd."""
        serf, roster = self.serf, self.serf.roster
        figures = {
            "coordinate_resets": self.coordinates.resets,
            "event_queue": len(serf.user_events.queue),
            "event_time": serf.user_events.clock.time,
            "exchange_queue": self._exchanges.waiting,
            "failed": roster.count(MemberStatus.FAILED),
            "health_score": self.awareness.score,
            "intent_queue": len(serf.intents),
            "left": roster.count(MemberStatus.LEFT),
            "member_time": serf.clock.time,
            "members": len(roster),
            "node_queue": self._rules.queue_depth,
            "query_queue": len(serf.queries.queue),
            "query_time": serf.queries.clock.time,
        }
        figures.update(sorted(self._env.counters.items()))
        return {name: str(figure) for name, figure in figures.items()}

    # --- pools at rest, for simulations ---

    def shared_pool(self) -> SharedPool:
        """What this agent knows, for others to stand in."""
        hashes = self.digest_table.shared() if self.settings.digests else None
        return SharedPool(self.nodes.shared(), self.serf.roster.shared(), self.serf.clock.time - 1, hashes)

    def stand_in(self, pool: SharedPool) -> None:
        """Before the start: be a member of `pool`, which holds this agent, and have no news for it."""
        self.nodes.lie_over(pool.nodes)
        self.serf.roster.lie_over(pool.records)
        self.serf.clock.witness(pool.member_time)
        if pool.hashes is not None and self.settings.digests:
            self.digest_table.lie_over(pool.hashes)

    # --- the step ---

    def step(self, event: Input, now_ms: int, now_us: int | None = None) -> list[Effect]:
        """Handle one input at `now_ms`, then every timer that is due. The effects are to be performed in order.

        `now_us` is the same instant on a finer clock, or on one of its own: only differences of it are used, to
        measure round trips, of which a local network has many in a millisecond.
        """
        env = self._env
        env.now_ms = max(env.now_ms, now_ms)
        env.now_us = now_ms * 1000 if now_us is None else now_us
        try:
            self._handle(event)
        except PeerProtocolError:
            env.count("malformed")
        env.timers.run_due(env.now_ms)
        effects, env.effects = env.effects, []
        return effects

    def _handle(self, event: Input) -> None:
        match event:
            case PacketReceived():
                self._packet(event)
            case TimerFired():
                pass
            case StreamReceived():
                self._stream(event)
            case ReplyReceived():
                self._env.settle_dial(event.dial_id, event.message)
            case DialFailed():
                self._env.settle_dial(event.dial_id, event.reason)
            case Started():
                self._start(event)
            case _:
                self._command(event)

    def _start(self, event: Started) -> None:
        if self._started:
            return
        self._started = True
        self.serf.start(event.member_time, event.event_time, event.query_time)
        self.courier.start()
        if self.nodes.peek(self.name) is None:
            self._rules.announce(self._own_alive(incarnation=1))
        self._prober.start()
        self._exchanges.start()
        self._env.after(self.settings.reap_interval_ms, self._reap)
        self._env.after(self.settings.reconnect_interval_ms, self._reconnect)

    def _own_alive(self, incarnation: int) -> Alive:
        host, port = pack_host(self._advertise.host), self._advertise.port
        return Alive(incarnation, self.name, host, port, self._meta, self.settings.versions)

    # --- packets and streams ---

    def _packet(self, event: PacketReceived) -> None:
        messages, damaged = split_packet(event.packet)
        if damaged:
            self._env.count("packets_damaged")
        for message in messages:
            try:
                self._message(decode_message(message), event)
            except PeerProtocolError:
                self._env.count("malformed")

    def _message(self, message: Message, event: PacketReceived) -> None:
        match message:
            case Ping():
                self._prober.pinged(message, event.source)
            case Ack():
                arrived_us = self._env.now_us if event.arrived_us is None else event.arrived_us
                self._prober.acked(message, None if event.is_late else arrived_us)
            case Alive():
                self._rules.alive(message)
            case Suspect():
                self._rules.suspect(message)
            case User():
                self.serf.receive(message.body)
            case Dead():
                self._rules.dead(message)
            case IndirectPing():
                self._prober.asked_to_ping(message, event.source)
            case Nack():
                self._prober.nacked(message)
            case _:
                self._env.count("malformed")

    def _stream(self, event: StreamReceived) -> None:
        message = event.message
        if isinstance(message, PushPull):
            self._exchanges.serve(event.stream_id, message)
            return
        if isinstance(message, Digest | PartialState):
            self._compare(event.stream_id, message)
            return
        ack = self._prober.answer_stream_ping(message) if isinstance(message, Ping) else None
        self._env.effects.append(Answer(event.stream_id, None if ack is None else ack.encode()))
        if isinstance(message, UserStream):
            self.serf.receive(message.body)
        elif not isinstance(message, Ping):
            self._env.count("malformed")

    def _compare(self, stream_id: int, message: Digest | PartialState) -> None:
        if not self.settings.digests:
            refusal = ErrorReply("digests are switched off here")
            self._env.effects.append(Answer(stream_id, refusal.encode()))
        elif isinstance(message, Digest):
            self._exchanges.by_digests.serve_digest(stream_id, message)
        else:
            self._exchanges.by_digests.serve_partial(stream_id, message)

    # --- commands ---

    def _command(self, event: Command) -> None:
        match event:
            case AnnounceJoin():
                self.serf.announce_join()
            case Leave():
                self._departure.leave(event.command_id)
            case Join():
                self._join(event)
            case ForceLeave():
                self._force_leave(event)
            case SetTags():
                self._set_tags(event)
            case SendUserEvent():
                error = self.serf.user_events.send(event.name, event.payload, coalesce=event.coalesce)
                self._env.finish(event.command_id, error)
            case AskQuery():
                self.serf.ask(event.command_id, event.request)
            case OperateKeyring():
                self.serf.operate_keyring(event)

    def _join(self, event: Join) -> None:
        if self._departure.begun:
            self._env.finish(event.command_id, "this agent has left the pool")
            return
        self._exchanges.join(event.address, lambda error: self._env.finish(event.command_id, error), skip_events=True)

    def _force_leave(self, event: ForceLeave) -> None:
        if self.serf.roster.get(event.name) is None:
            self._env.finish(event.command_id, f"no member named {event.name!r} is known")
            return
        self._wait_until_sent(
            event.command_id,
            lambda sent: self.serf.announce_leave(event.name, prune=event.prune, on_sent=sent),
        )

    def _set_tags(self, event: SetTags) -> None:
        own = self.nodes.own
        if self._departure.begun or own.incarnation >= U32_MAX:
            self._env.finish(event.command_id, "this agent has left the pool")
            return
        try:
            self._meta = encode_tags(event.tags)
        except MembershipError as error:
            self._env.finish(event.command_id, str(error))
            return
        alive = self._own_alive(own.incarnation + 1)
        self._wait_until_sent(event.command_id, lambda sent: self._rules.announce(alive, on_sent=sent))

    def _wait_until_sent(self, command_id: int, send: Callable[[Callable[[], None]], None]) -> None:
        """Do what spreads news; the command is done when it was sent, after a bounded wait, or when nobody hears."""
        heard = self.serf.roster.others_alive()
        timeout_ms = self.settings.broadcast_timeout_ms if heard else 0
        send(once_soon(self._env, lambda: self._env.finish(command_id), timeout_ms))

    # --- housekeeping ---

    def _reap(self) -> None:
        self._env.after(self.settings.reap_interval_ms, self._reap)
        self.serf.roster.reap()

    def _reconnect(self) -> None:
        """Now and then call on one failed member: it may be back, or cut off with others who believe us failed."""
        self._env.after(self.settings.reconnect_interval_ms, self._reconnect)
        roster = self.serf.roster
        count = roster.count(MemberStatus.FAILED)
        if not count or self._departure.begun:
            return
        others = max(1, len(roster) - count - roster.count(MemberStatus.LEFT))
        if self._env.rng.random() > count / others:
            return
        member = self._env.rng.choice(roster.listed(MemberStatus.FAILED))
        self._exchanges.join(member.address, lambda error: None, skip_events=False)
