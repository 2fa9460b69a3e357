"""A seeded world of gossip cores: one heap of (time, sequence), and a network that loses, repeats and reorders.

Everything runs in one process without an event loop. The same seed gives the same transcript, whose digest is
`World.digest()`.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind, MemberStatus, UserEvent
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import (
    AnnounceJoin,
    Answer,
    CommandDone,
    Dial,
    DialFailed,
    Effect,
    Input,
    Join,
    Leave,
    Notify,
    PacketReceived,
    ReplyReceived,
    SendPacket,
    SendUserEvent,
    Started,
    StreamReceived,
    TimerFired,
)
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.streams import StreamDecoder, StreamMessage
from consul_kernel_swim.core.swim import Swim

PORT = 7946
SETTINGS = Settings(
    push_pull_interval_ms=6_000,
    reconnect_interval_ms=4_000,
    leave_propagate_delay_ms=1_000,
    dead_node_reclaim_ms=5_000,
    tcp_timeout_ms=2_000,
)


class InvariantError(AssertionError):
    """The world reached a state that must never be."""


@dataclass(slots=True)
class Network:
    """What every link does to what is sent; delays in ms."""

    loss: float = 0.0
    duplicates: float = 0.0
    delay_ms_max: int = 5
    cut: set[frozenset[str]] = field(default_factory=set)

    def is_cut(self, a: str, b: str) -> bool:
        return frozenset((a, b)) in self.cut


class Simulated:
    """One agent: a core and what it has reported."""

    def __init__(self, name: str, address: Address, swim: Swim) -> None:
        self.name = name
        self.address = address
        self.swim = swim
        self.running = True
        self.kinds: dict[str, list[MemberEventKind]] = {}
        self.user_events: Counter[tuple[str, bytes]] = Counter()
        self.done: dict[int, str | None] = {}
        self.wake_at_ms = -1

    def status(self, name: str) -> MemberStatus | None:
        return next((member.status for member in self.swim.members() if member.name == name), None)


class World:
    """Agents n0, n1, … at 10.0.0.0, 10.0.0.1, …"""

    def __init__(self, seed: int, settings: Settings = SETTINGS) -> None:
        self.rng = random.Random(seed)
        self.settings = settings
        self.network = Network()
        self.now_ms = 0
        self.agents: dict[str, Simulated] = {}
        self.packets = 0
        self._by_address: dict[Address, Simulated] = {}
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._commands = 0
        self._streams: dict[int, Callable[[bytes | None], None]] = {}
        self._digest = hashlib.sha256()

    # --- what a test does ---

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(time_ms, self.now_ms), self._sequence, action))

    def start(self, name: str, tags: dict[str, str] | None = None) -> Simulated:
        """Start an agent, or start it again after a crash."""
        address = Address(f"10.0.{int(name[1:]) // 250}.{int(name[1:]) % 250}", PORT)
        rng = random.Random(self.rng.randrange(1 << 60))
        agent = Simulated(name, address, Swim(name, address, tags or {}, self.settings, rng))
        self.agents[name] = agent
        self._by_address[address] = agent
        self.step(agent, Started())
        return agent

    def crash(self, name: str) -> None:
        """Stop an agent without a word."""
        self.agents[name].running = False

    def command(self, agent: Simulated, make: Callable[[int], Input]) -> int:
        """Give an agent a command; its end appears in `agent.done`."""
        self._commands += 1
        self.step(agent, make(self._commands))
        return self._commands

    def join(self, agent: Simulated, other: str) -> None:
        """Join until it works."""
        to = self.agents[other].address
        command = self.command(agent, lambda command_id: Join(command_id, to))

        def look() -> None:
            if not agent.running:
                return
            if command not in agent.done:
                self.at(self.now_ms + 50, look)
            elif agent.done[command] is None:
                self.step(agent, AnnounceJoin())
            else:
                self.at(self.now_ms + 500, lambda: self.join(agent, other) if agent.running else None)

        look()

    def leave(self, agent: Simulated) -> None:
        """Leave, and stop when that is done."""
        command = self.command(agent, Leave)

        def look() -> None:
            if command in agent.done:
                agent.running = False
            else:
                self.at(self.now_ms + 100, look)

        look()

    def user_event(self, agent: Simulated, name: str, payload: bytes) -> None:
        """Spread an event."""
        self.command(agent, lambda command_id: SendUserEvent(command_id, name, payload, False))

    def inject(self, agent: Simulated, packet: bytes) -> None:
        """A packet out of nowhere."""
        self.step(agent, PacketReceived(packet, Address("10.99.99.99", PORT)))

    def isolate(self, name: str) -> None:
        """Cut one agent off from all others."""
        self.network.cut |= {frozenset((name, other)) for other in self.agents if other != name}

    def heal(self) -> None:
        """End every partition."""
        self.network.cut.clear()

    def run_until(self, time_ms: int) -> None:
        """Let time pass."""
        while self._heap and self._heap[0][0] <= time_ms:
            self.now_ms, _, action = heapq.heappop(self._heap)
            action()
        self.now_ms = time_ms

    def run_until_true(self, condition: Callable[[], bool], within_ms: int, what: str) -> None:
        """Let time pass until something holds; raises InvariantError when it takes longer."""
        deadline = self.now_ms + within_ms
        while not condition():
            if self.now_ms >= deadline:
                raise InvariantError(f"{what}: not within {within_ms} ms; {self.view()}")
            self.run_until(min(deadline, self.now_ms + 100))

    # --- what a test sees ---

    def running(self) -> list[Simulated]:
        return [agent for agent in self.agents.values() if agent.running]

    def view(self) -> dict[str, dict[str, str]]:
        """How each running agent sees the others."""
        return {
            agent.name: {member.name: member.status.name for member in agent.swim.members()} for agent in self.running()
        }

    def agree(self, name: str, status: MemberStatus) -> bool:
        """Whether every running agent, but the one in question, sees it in this state."""
        return all(agent.status(name) is status for agent in self.running() if agent.name != name)

    def digest(self) -> str:
        """The transcript so far, in short."""
        return self._digest.hexdigest()

    # --- inside ---

    def step(self, agent: Simulated, event: Input) -> None:
        """One step of one agent, and its effects."""
        if not agent.running:
            return
        for effect in agent.swim.step(event, self.now_ms):
            self._digest.update(f"{self.now_ms} {agent.name} {effect!r}\n".encode())
            self._perform(agent, effect)
        deadline = agent.swim.deadline_ms()
        if deadline is not None and deadline != agent.wake_at_ms:
            agent.wake_at_ms = deadline
            self.at(deadline, lambda: self._wake(agent, deadline))

    def _wake(self, agent: Simulated, deadline: int) -> None:
        if agent.wake_at_ms == deadline:
            agent.wake_at_ms = -1
            self.step(agent, TimerFired())

    def _perform(self, agent: Simulated, effect: Effect) -> None:
        match effect:
            case SendPacket():
                self._send(agent, effect)
            case Dial():
                self._dial(agent, effect)
            case Answer():
                self._streams.pop(effect.stream_id)(effect.reply)
            case CommandDone():
                agent.done[effect.command_id] = effect.error
            case Notify(event=MemberEvent() as event):
                agent.kinds.setdefault(event.member.name, []).append(event.kind)
            case Notify(event=UserEvent() as event):
                agent.user_events[event.name, event.payload] += 1
                if agent.user_events[event.name, event.payload] > 1:
                    raise InvariantError(f"{agent.name} got {event.name} twice")

    def _send(self, agent: Simulated, effect: SendPacket) -> None:
        limit = self.settings.packet_bytes - self.settings.sealed_overhead_bytes
        if len(effect.packet) > limit:
            raise InvariantError(f"{agent.name} sent a packet of {len(effect.packet)} bytes, over {limit}")
        self.packets += 1
        for _ in range(2 if self.rng.random() < self.network.duplicates else 1):
            if self.rng.random() >= self.network.loss:
                delay = self.rng.randint(0, self.network.delay_ms_max)
                self.at(self.now_ms + delay, lambda: self._deliver(agent, effect))

    def _deliver(self, sender: Simulated, effect: SendPacket) -> None:
        target = self._by_address.get(effect.to)
        if target is not None and not self.network.is_cut(sender.name, target.name):
            self.step(target, PacketReceived(effect.packet, sender.address))

    def _dial(self, agent: Simulated, effect: Dial) -> None:
        target = self._by_address.get(effect.to)
        if target is None or self.network.is_cut(agent.name, target.name):
            failed = DialFailed(effect.dial_id, "no answer")
            self.at(self.now_ms + effect.timeout_ms, lambda: self.step(agent, failed))
            return
        self._sequence += 1
        stream_id = self._sequence

        def answered(reply: bytes | None) -> None:
            outcome: Input = (
                DialFailed(effect.dial_id, "closed")
                if reply is None
                else ReplyReceived(effect.dial_id, decode_stream(reply))
            )
            self.at(self.now_ms + self._delay(), lambda: self.step(agent, outcome))

        def arrive() -> None:
            if not target.running:
                answered(None)
                return
            self._streams[stream_id] = answered
            self.step(target, StreamReceived(stream_id, decode_stream(effect.request), agent.address))

        self.at(self.now_ms + self._delay(), arrive)

    def _delay(self) -> int:
        return self.rng.randint(0, self.network.delay_ms_max)


def decode_stream(data: bytes) -> StreamMessage:
    """A whole stream at once."""
    message = StreamDecoder().feed(data)
    if message is None:
        raise InvariantError("a stream that is cut short")
    return message
