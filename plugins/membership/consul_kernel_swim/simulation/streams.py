"""Streams of the simulated pool: one request, one answer, with delays, refusals and the dialler's patience."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.transport import Address
from consul_kernel.testing.simulation import Network, Timeline
from consul_kernel_swim.core.events import Dial, DialFailed, ReplyReceived, StreamReceived
from consul_kernel_swim.core.messages import RemoteNode
from consul_kernel_swim.core.streams import PushPull, StreamDecoder, StreamMessage
from consul_kernel_swim.core.versions import without_exchange

from .agent import Agent


def decode_stream(data: bytes) -> StreamMessage:
    """The message of a whole stream. Raises PeerProtocolError when it is cut short or cannot be read."""
    message = StreamDecoder().feed(data)
    if message is None:
        raise PeerProtocolError("a stream that is cut short")
    return message


def as_memberlist(data: bytes) -> bytes:
    """A stream as a memberlist would write it, which knows six bytes of everybody's versions."""
    message = decode_stream(data)
    if not isinstance(message, PushPull):
        return data
    nodes = (
        RemoteNode(node.state, replace(node.alive, versions=without_exchange(node.alive.versions)))
        for node in message.nodes
    )
    return PushPull(tuple(nodes), message.user_state, message.join).encode()


class _Exchange:
    """One stream, from the dial to its outcome; the first outcome counts."""

    __slots__ = ("dial_id", "dialler", "settled", "target")

    def __init__(self, dialler: Agent, target: Agent, dial_id: int) -> None:
        self.dialler = dialler
        self.target = target
        self.dial_id = dial_id
        self.settled = False


class Streams:
    """All streams under way. `bytes_sent` counts requests and answers."""

    def __init__(self, timeline: Timeline, network: Network, find: Callable[[Address], Agent | None]) -> None:
        self._timeline = timeline
        self._network = network
        self._find = find
        self._open: dict[int, _Exchange] = {}
        self._last_id = 0
        self.dials = 0
        self.bytes_sent = 0

    def dial(self, agent: Agent, effect: Dial) -> None:
        """Carry out one dial; the agent hears of its outcome within the time that it allows."""
        self.dials += 1
        target = self._find(effect.to)
        if target is None:
            failed = DialFailed(effect.dial_id, "connection refused")
            self._timeline.after(2 * self._network.delay_ms(), agent.give, failed)
            return
        exchange = _Exchange(agent, target, effect.dial_id)
        self._timeline.after(effect.timeout_ms, self._fail, exchange, f"no answer within {effect.timeout_ms} ms")
        delay_ms = self._network.stream_delay_ms(agent.name, target.name)
        if delay_ms is not None:
            # A round trip opens the stream, then the request follows.
            delay_ms += 2 * self._network.delay_ms()
            request = as_memberlist(effect.request) if agent.is_plain else effect.request
            self._timeline.after(delay_ms, self._arrive, exchange, request)

    def _arrive(self, exchange: _Exchange, request: bytes) -> None:
        target = exchange.target
        if exchange.settled:
            return
        if not target.running:
            self._timeline.after(self._network.delay_ms(), self._fail, exchange, "connection refused")
            return
        self.bytes_sent += len(request)
        self._last_id += 1
        self._open[self._last_id] = exchange
        target.give(StreamReceived(self._last_id, decode_stream(request), exchange.dialler.address))

    def answer(self, stream_id: int, reply: bytes | None) -> None:
        """What the target answers, or None when it closes the stream without a word."""
        exchange = self._open.pop(stream_id)
        delay_ms = self._network.stream_delay_ms(exchange.target.name, exchange.dialler.name)
        if delay_ms is None:
            return
        if reply is None:
            self._timeline.after(delay_ms, self._fail, exchange, "closed without an answer")
        else:
            if exchange.target.is_plain:
                reply = as_memberlist(reply)
            self.bytes_sent += len(reply)
            self._timeline.after(delay_ms, self._reply, exchange, reply)

    def _reply(self, exchange: _Exchange, reply: bytes) -> None:
        if not exchange.settled:
            exchange.settled = True
            exchange.dialler.give(ReplyReceived(exchange.dial_id, decode_stream(reply)))

    def _fail(self, exchange: _Exchange, reason: str) -> None:
        if not exchange.settled:
            exchange.settled = True
            exchange.dialler.give(DialFailed(exchange.dial_id, reason))
