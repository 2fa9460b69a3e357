"""Two cores that exchange states with each other, and nobody else: what tests of exchanges by digests share."""

from __future__ import annotations

import random
from collections.abc import Iterable

from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import (
    Answer,
    Dial,
    DialFailed,
    Effect,
    Input,
    PacketReceived,
    ReplyReceived,
    Started,
    StreamReceived,
    TimerFired,
)
from consul_kernel_swim.core.messages import Message
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.streams import StreamDecoder, StreamMessage
from consul_kernel_swim.core.swim import Swim

STRANGER = Address("10.9.9.9", 9)
NEVER_MS = 10**9
RARELY = Settings(push_pull_interval_ms=NEVER_MS, reconnect_interval_ms=NEVER_MS)
"""No exchange begins by itself."""


def whole(data: bytes) -> StreamMessage:
    message = StreamDecoder().feed(data)
    assert message is not None
    return message


class Side:
    """One core; what it dials waits in `dials`."""

    def __init__(self, name: str, address: Address, settings: Settings) -> None:
        self.address = address
        self.swim = Swim(name, address, {}, settings, random.Random(name))
        self.now_ms = 1_000_000
        self.dials: list[Dial] = []
        self.effects: list[Effect] = []
        self.do(Started())

    def do(self, event: Input) -> list[Effect]:
        """One step, and what is due at once after it."""
        done = list(self.swim.step(event, self.now_ms))
        while (deadline := self.swim.deadline_ms()) is not None and deadline <= self.now_ms:
            done += self.swim.step(TimerFired(), self.now_ms)
        self.effects += done
        self.dials += [effect for effect in done if isinstance(effect, Dial)]
        return done

    def receive(self, *messages: Message) -> None:
        for message in messages:
            self.do(PacketReceived(message.encode(), STRANGER))

    def wait(self, ms: int) -> None:
        """Let time pass; nobody is reached meanwhile."""
        end = self.now_ms + ms
        while (deadline := self.swim.deadline_ms()) is not None and deadline <= end:
            self.now_ms = max(deadline, self.now_ms)
            self.do(TimerFired())
            for dial in self.dials:
                self.do(DialFailed(dial.dial_id, "nobody is reached"))
            self.dials.clear()
        self.now_ms = end


class Pair:
    """`a` and `b`. `sent` has every stream, in order, as it was decoded; `sent_bytes` how long they were."""

    def __init__(self, settings: Settings = RARELY, of_b: Settings | None = None) -> None:
        self.a = Side("a", Address("10.0.0.1", 7946), settings)
        self.b = Side("b", Address("10.0.0.2", 7946), of_b or settings)
        self.sent: list[StreamMessage] = []
        self.sent_bytes = 0
        self._streams = 0

    def meet(self) -> None:
        """Both learn of each other, and of nobody else."""
        for one, other in ((self.a, self.b), (self.b, self.a)):
            one.receive(other.swim.nodes.own.to_alive())

    def tell(self, messages: Iterable[Message]) -> None:
        """Both hear the same."""
        for message in messages:
            self.a.receive(message)
            self.b.receive(message)

    def compare(self) -> None:
        """`a` begins its periodic exchange with `b`."""
        node = self.a.swim.nodes.peek("b")
        assert node is not None
        self.a.swim._exchanges._compare(node)
        self._run()

    def compare_by_digests(self) -> None:
        """The same, whatever `a` believes of `b`."""
        self.a.swim._exchanges.by_digests.begin(self.b.address, lambda: None)
        self._run()

    def exchange_all(self) -> None:
        """`a` begins a push/pull with `b`."""
        self.a.swim._exchanges._exchange(self.b.address, join=False, skip_events=False, done=lambda error: None)
        self._run()

    def _run(self) -> None:
        """Carry streams between the two until none is left."""
        self.a.do(TimerFired())
        while self.a.dials:
            dial = self.a.dials.pop(0)
            assert dial.to == self.b.address
            self._streams += 1
            answers = self.b.do(StreamReceived(self._streams, self._carry(dial.request), self.a.address))
            replies = [effect.reply for effect in answers if isinstance(effect, Answer)]
            assert len(replies) == 1
            reply = replies[0]
            self.a.do(
                DialFailed(dial.dial_id, "closed without an answer")
                if reply is None
                else ReplyReceived(dial.dial_id, self._carry(reply))
            )

    def _carry(self, data: bytes) -> StreamMessage:
        message = whole(data)
        self.sent.append(message)
        self.sent_bytes += len(data)
        return message
