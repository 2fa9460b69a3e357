"""One core under test, stepped by hand: what its tests share."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind, MemberStatus, UserEvent
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import (
    Answer,
    Effect,
    Input,
    Notify,
    PacketReceived,
    SendPacket,
    Started,
    TimerFired,
)
from consul_kernel_swim.core.messages import (
    Alive,
    Message,
    NodeState,
    decode_message,
)
from consul_kernel_swim.core.packets import split_packet
from consul_kernel_swim.core.settings import PROFILES, Settings
from consul_kernel_swim.core.streams import PushPull, StreamDecoder
from consul_kernel_swim.core.swim import Swim
from consul_kernel_swim.core.tags import encode_tags

OWN = Address("10.0.0.1", 7946)
PEER = Address("10.0.0.9", 4000)
VERSIONS = bytes((1, 5, 2, 2, 5, 4))
VECTORS = [
    bytes.fromhex(text) for text in json.loads((Path(__file__).parent / "wire_vectors.json").read_text()).values()
]


class Bench:
    """One core, and what it did."""

    def __init__(self, settings: Settings = PROFILES["lan"], accept: object = None) -> None:
        self.swim = Swim("own", OWN, {}, settings, random.Random(1), accept)  # type: ignore[arg-type]
        self.now_ms = 1_000_000
        self.sent: list[tuple[Address, Message]] = []
        self.effects: list[Effect] = []
        self.do(Started())

    def do(self, event: Input) -> list[Effect]:
        return self.note(self.swim.step(event, self.now_ms))

    def note(self, effects: list[Effect]) -> list[Effect]:
        """Remember what a step did."""
        self.effects += effects
        for effect in effects:
            if isinstance(effect, SendPacket):
                self.sent += [(effect.to, decode_message(part)) for part in split_packet(effect.packet)[0]]
        return effects

    def receive(self, *messages: Message) -> None:
        for message in messages:
            self.do(PacketReceived(message.encode(), PEER))

    def receive_serf(self, body: bytes) -> None:
        self.do(PacketReceived(b"\x08" + body, PEER))

    def wait(self, ms: int) -> None:
        end = self.now_ms + ms
        while (deadline := self.swim.deadline_ms()) is not None and deadline <= end:
            self.now_ms = max(deadline, self.now_ms)
            self.do(TimerFired())
        self.now_ms = end

    def until(self, condition: Callable[[], bool], within_ms: int = 120_000) -> None:
        """Let time pass, a millisecond at once, until something holds."""
        end = self.now_ms + within_ms
        while not condition():
            assert self.now_ms < end, f"not within {within_ms} ms"
            self.wait(1)

    def has_sent(self, kind: type[Message]) -> bool:
        """Whether a message of this kind was sent."""
        return any(isinstance(message, kind) for _, message in self.sent)

    def add(self, name: str, number: int, incarnation: int = 1) -> Address:
        self.receive(alive(name, number, incarnation))
        return Address(f"10.0.1.{number}", 7946)

    def status(self, name: str) -> MemberStatus | None:
        return next((member.status for member in self.swim.members() if member.name == name), None)

    def state(self, name: str) -> NodeState:
        node = self.swim.nodes.get(name)
        assert node is not None
        return node.state

    def kinds(self, name: str) -> list[MemberEventKind]:
        events = [effect.event for effect in self.effects if isinstance(effect, Notify)]
        return [event.kind for event in events if isinstance(event, MemberEvent) and event.member.name == name]

    def answers(self, stream_id: int) -> list[PushPull]:
        """The states that were sent in answer to a stream."""
        replies = [
            effect.reply for effect in self.effects if isinstance(effect, Answer) and effect.stream_id == stream_id
        ]
        states = [StreamDecoder().feed(reply) for reply in replies if reply is not None]
        return [state for state in states if isinstance(state, PushPull)]

    def user_events(self) -> list[UserEvent]:
        events = [effect.event for effect in self.effects if isinstance(effect, Notify)]
        return [event for event in events if isinstance(event, UserEvent)]


def alive(name: str, number: int, incarnation: int = 1, **tags: str) -> Alive:
    return Alive(incarnation, name, bytes((10, 0, 1, number)), 7946, encode_tags(tags), VERSIONS)
