"""A pool of gossip cores in virtual time: agents, the packets and streams between them, and what is watched."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from consul_kernel.contracts.membership import GossipEvent, MemberEvent, UserEvent
from consul_kernel.contracts.transport import Address
from consul_kernel.testing.simulation import Clock, Conditions, Network, Timeline, Transcript
from consul_kernel_swim.core.events import (
    AnnounceJoin,
    Answer,
    CommandDone,
    Dial,
    Effect,
    Input,
    Join,
    Leave,
    Notify,
    PacketReceived,
    SendPacket,
    SendUserEvent,
    SetTags,
    Started,
)
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.swim import Swim

from .agent import Agent, tags_of
from .invariants.base import GossipInvariant
from .streams import Streams

PORT = 8301
_LOOK_EVERY_MS = 1_000
_JOIN_AGAIN_MS = 2_000


@dataclass(frozen=True, slots=True)
class SentEvent:
    """A user event, and the lives that were in the pool when it was sent."""

    name: str
    payload: bytes
    sent_ms: int
    lamport_time: int
    sender: Agent
    audience: tuple[Agent, ...]


class World:
    """Agents by name; a name stays when its agent has crashed or left, and the latest life counts.

    `memberlist_share` of all lives exchange whole states only, as real memberlists do.
    """

    def __init__(
        self,
        seed: int,
        settings: Settings,
        *,
        conditions: Conditions | None = None,
        invariants: Sequence[GossipInvariant] = (),
        clock_drift: float = 0.0,
        is_patient: bool = True,
        memberlist_share: float = 0.0,
    ) -> None:
        self.rng = random.Random(seed)
        self.settings = settings
        self.is_patient = is_patient
        """Whether agents that stood still first take what came meanwhile."""
        self.timeline = Timeline()
        self.network = Network(random.Random(self.rng.getrandbits(64)), conditions)
        self.transcript = Transcript()
        self.invariants = tuple(invariants)
        self.agents: dict[str, Agent] = {}
        self.lives = 0
        self.events: list[SentEvent] = []
        self.packets_sent = 0
        self.bytes_sent = 0
        self.recent_packets: list[bytes] = []
        self.calm_since_ms: int | None = None
        """When the last fault ended; None while something may go wrong."""
        self.settled = False
        """Whether everything has come right since."""
        self.watchers: list[Callable[[Agent, GossipEvent], None]] = []
        self.streams = Streams(self.timeline, self.network, self._find_running)
        self._clock_drift = clock_drift
        self._memberlist_share = memberlist_share
        self._by_address: dict[Address, Agent] = {}
        self._commands = 0
        self._hosts = 0
        self._on_send = [one.sending for one in invariants if _defines(one, "sending")]
        self._on_change = [one.member_changed for one in invariants if _defines(one, "member_changed")]
        self._on_event = [one.user_event for one in invariants if _defines(one, "user_event")]
        self._on_look = [one.look for one in invariants if _defines(one, "look")]
        if self._on_look:
            self.timeline.at(_LOOK_EVERY_MS, self._look)

    # --- agents ---

    def free_address(self) -> Address:
        """An address that nobody had before: 10.0.0.1, 10.0.0.2 and so on."""
        self._hosts += 1
        number = self._hosts
        return Address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", PORT)

    def create(self, name: str, address: Address) -> Agent:
        """An agent that has not started yet."""
        rng, settings = random.Random(self.rng.getrandbits(64)), self.settings
        if self._memberlist_share and self.rng.random() < self._memberlist_share:
            settings = replace(settings, digests=False)
        swim = Swim(name, address, tags_of(name), settings, rng)
        clock = Clock()
        if self._clock_drift:
            drift = self.rng.uniform(-self._clock_drift, self._clock_drift)
            clock = Clock(self.rng.randrange(1_000_000), 1.0 + drift)
        agent = Agent(name, address, swim, self, self.timeline, clock)
        self.agents[name] = agent
        self.lives += 1
        self._by_address[address] = agent
        for invariant in self.invariants:
            invariant.started(self, agent)
        return agent

    def start(self, name: str, address: Address | None = None, contacts: Iterable[Address] = ()) -> Agent:
        """Start an agent, at its old address if it had one, and let it join through the contacts until one answers."""
        if address is None:
            address = self.agents[name].address if name in self.agents else self.free_address()
        agent = self.create(name, address)
        agent.give(Started())
        addresses = [contact for contact in contacts if contact != address]
        if addresses:
            self.join(agent, addresses)
        else:
            agent.joined_ms = self.timeline.now_ms
        return agent

    def running(self) -> list[Agent]:
        """Every agent that runs, in order of names' first appearance."""
        return [agent for agent in self.agents.values() if agent.running]

    def members(self) -> list[Agent]:
        """Every agent that runs, has joined and does not mean to leave."""
        return [agent for agent in self.running() if agent.joined_ms is not None and not agent.is_leaving]

    def _find_running(self, address: Address) -> Agent | None:
        agent = self._by_address.get(address)
        return agent if agent is not None and agent.running else None

    # --- what a course of events does ---

    def command(self, agent: Agent, make: Callable[[int], Input]) -> int:
        """Give an agent a command; its end appears in `agent.done`."""
        self._commands += 1
        agent.give(make(self._commands))
        return self._commands

    def join(self, agent: Agent, contacts: Sequence[Address]) -> None:
        """Try the contacts one after the other, and all of them again after a while, until one answers."""
        self._join_next(agent, contacts, 0)

    def _join_next(self, agent: Agent, contacts: Sequence[Address], at: int) -> None:
        if agent.running and not agent.is_leaving:
            to = contacts[at % len(contacts)]
            self._await_join(agent, contacts, at, self.command(agent, lambda command_id: Join(command_id, to)))

    def _await_join(self, agent: Agent, contacts: Sequence[Address], at: int, command_id: int) -> None:
        if not agent.running:
            return
        if command_id not in agent.done:
            self.timeline.after(50, self._await_join, agent, contacts, at, command_id)
        elif agent.done[command_id] is None:
            agent.give(AnnounceJoin())
            if agent.joined_ms is None:
                agent.joined_ms = self.timeline.now_ms
        else:
            wait_ms = 0 if (at + 1) % len(contacts) else _JOIN_AGAIN_MS
            self.timeline.after(wait_ms, self._join_next, agent, contacts, at + 1)

    def leave(self, agent: Agent) -> None:
        """Leave on purpose, and stop when that is done."""
        agent.is_leaving = True
        agent.leaving_ms = self.timeline.now_ms
        agent.left_in_calm = self.settled
        self._await_leave(agent, self.command(agent, Leave))

    def _await_leave(self, agent: Agent, command_id: int) -> None:
        if command_id in agent.done:
            agent.crash()
        elif agent.running:
            self.timeline.after(100, self._await_leave, agent, command_id)

    def send_user_event(self, agent: Agent, name: str, payload: bytes) -> None:
        """Spread an event to everybody who is there."""
        time = agent.swim.serf.user_events.clock.time
        self.events.append(SentEvent(name, payload, self.timeline.now_ms, time, agent, tuple(self.members())))
        self.command(agent, lambda command_id: SendUserEvent(command_id, name, payload, False))

    def set_tags(self, agent: Agent, tags: Mapping[str, str]) -> None:
        """Give an agent other tags."""
        self.command(agent, lambda command_id: SetTags(command_id, tags))

    # --- what agents ask for ---

    def perform(self, agent: Agent, effect: Effect) -> None:
        """Carry out one effect."""
        kind = type(effect)
        if kind is SendPacket:
            self._send(agent, effect)  # type: ignore[arg-type]
            return
        match effect:
            case Dial():
                self._note(agent, b"dial", effect.request)
                self.streams.dial(agent, effect)
            case Answer():
                self._note(agent, b"answer", effect.reply or b"")
                self.streams.answer(effect.stream_id, effect.reply)
            case Notify():
                self._told(agent, effect.event)
            case CommandDone():
                agent.done[effect.command_id] = effect.error
            case _:
                self._note(agent, b"warning", repr(effect).encode())

    def _send(self, agent: Agent, effect: SendPacket) -> None:
        packet = effect.packet
        for look in self._on_send:
            look(self, agent, packet)
        self.packets_sent += 1
        self.bytes_sent += len(packet)
        self._note(agent, b"send", packet)
        if not self.packets_sent & 63:
            self.recent_packets = [*self.recent_packets[-31:], packet]
        target = self._by_address.get(effect.to)
        if target is None:
            return
        for delay_ms in self.network.delays_ms(agent.name, target.name):
            self.timeline.after(delay_ms, self.deliver, effect.to, PacketReceived(packet, agent.address))

    def deliver(self, to: Address, event: PacketReceived) -> None:
        """A packet reaches an address, whoever is there now."""
        target = self._by_address.get(to)
        if target is not None:
            target.give(event)

    def _told(self, agent: Agent, event: GossipEvent) -> None:
        if isinstance(event, MemberEvent):
            self._note(agent, b"member", f"{event.kind} {event.member.name} {event.member.status:d}".encode())
            for look in self._on_change:
                look(self, agent, event)
        else:
            self._note(agent, b"event", event.name.encode())
            agent.user_events[event.name, event.payload] += 1
            for tell in self._on_event:
                tell(self, agent, event)
        for watcher in self.watchers:
            watcher(agent, event)

    def _note(self, agent: Agent, what: bytes, data: bytes) -> None:
        self.transcript.note(self.timeline.now_ms, agent.name, what, data)

    # --- watching ---

    def _look(self) -> None:
        self.timeline.after(_LOOK_EVERY_MS, self._look)
        for look in self._on_look:
            look(self)

    def check_rest(self) -> None:
        """Let every invariant judge a world at rest. Raises ViolationError."""
        for invariant in self.invariants:
            invariant.at_rest(self)


def _defines(invariant: GossipInvariant, method: str) -> bool:
    return getattr(type(invariant), method) is not getattr(GossipInvariant, method)


__all__ = ["SentEvent", "UserEvent", "World"]
