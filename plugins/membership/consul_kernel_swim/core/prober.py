"""Failure detection: one node is probed at a time, directly, then through others and over a stream.

Source: SWIM, section 3.1 (probe, indirect probe) and 4.3 (round robin); Lifeguard, section IV.A (nacks).
"""

from __future__ import annotations

from consul_kernel.contracts.transport import Address

from .coordinates import Coordinates
from .courier import Courier, takes_checksum
from .environment import Environment
from .messages import Ack, IndirectPing, Nack, NodeState, Ping, Suspect
from .nodes import PROTOCOL_MAX, Node, NodeTable
from .rules import MembershipRules
from .streams import StreamMessage
from .suspicion import Awareness
from .timers import Timer
from .wire import U32_MAX

_STREAM_PING_FROM_PROTOCOL = 3
_NACK_FROM_PROTOCOL = 4
_HELPED_MAX = 1024
_FEW = 16
"""A pool of so many is probed twice as often. By chance nobody may come to a member for seconds: in a pool of eight,
one crash of 26 took over 8 s to be known, now none of 1,000. In a large pool somebody always comes."""


class _Round:
    """One probe of one node, as it was at this incarnation: what it refutes meanwhile is not held against it."""

    __slots__ = (
        "ends",
        "incarnation",
        "is_direct",
        "nacks_expected",
        "nacks_received",
        "node",
        "sent_us",
        "sequence",
        "stream_acked",
    )

    def __init__(self, sequence: int, node: Node, sent_us: int) -> None:
        self.sequence = sequence
        self.sent_us = sent_us
        self.is_direct = True
        self.node = node
        self.incarnation = node.incarnation
        self.nacks_expected = 0
        self.nacks_received = 0
        self.stream_acked = False
        self.ends: Timer | None = None


class _Help:
    """A probe that we make for somebody else."""

    __slots__ = ("requester", "sequence", "timer")

    def __init__(self, requester: Address, sequence: int) -> None:
        self.requester = requester
        self.sequence = sequence
        self.timer: Timer | None = None


class Prober:
    """Runs the probe tick, answers pings and helps others to ping."""

    def __init__(
        self,
        env: Environment,
        nodes: NodeTable,
        courier: Courier,
        rules: MembershipRules,
        awareness: Awareness,
        coordinates: Coordinates,
    ) -> None:
        self._env = env
        self._nodes = nodes
        self._courier = courier
        self._rules = rules
        self._awareness = awareness
        self._coordinates = coordinates
        self._sequence = 0
        self._round: _Round | None = None
        self._overdue = False
        self._helped: dict[int, _Help] = {}
        self._timeout: Timer | None = None

    def start(self) -> None:
        """Begin after a random part of the interval."""
        self._env.after(self._env.rng.randrange(self._env.settings.probe_interval_ms) + 1, self._tick)

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % U32_MAX + 1
        return self._sequence

    def _tick(self) -> None:
        self._env.after(self._interval_ms(), self._tick)
        if self._round is None:
            self._probe_next()
        else:
            self._overdue = True

    def _interval_ms(self) -> int:
        interval_ms = self._env.settings.probe_interval_ms
        return interval_ms // 2 if 1 < len(self._nodes) <= _FEW else interval_ms

    def _probe_next(self) -> None:
        self._overdue = False
        if self._rules.has_left:
            return
        node = self._nodes.next_to_probe(self._env.now_ms, self._env.settings.gossip_to_the_dead_ms)
        if node is not None:
            self._probe(node)

    def _probe(self, node: Node) -> None:
        settings = self._env.settings
        sequence = self._next_sequence()
        round_ = self._round = _Round(sequence, node, self._env.now_us)
        own = self._nodes.own
        ping = Ping(sequence, node.name, own.address, own.name).encode()
        if node.state is NodeState.ALIVE:
            self._courier.send(node.address, ping)
        else:
            accusation = Suspect(node.incarnation, node.name, own.name).encode()
            self._courier.send(node.address, ping, accusation, checksum=takes_checksum(node))
        interval_ms = self._awareness.scale(settings.probe_interval_ms)
        self._timeout = self._env.after(min(settings.probe_timeout_ms, interval_ms), self._ask_others)
        round_.ends = self._env.after(interval_ms, self._conclude)

    def _ask_others(self) -> None:
        """No direct answer in time: ask helpers, and try a stream in case only packets are lost."""
        round_ = self._round
        if round_ is None:
            return
        round_.is_direct = False
        settings, own, node = self._env.settings, self._nodes.own, round_.node
        helpers = self._nodes.pick(settings.indirect_checks, lambda other: self._can_help(other, node))
        for helper in helpers:
            nack = helper.versions[PROTOCOL_MAX] >= _NACK_FROM_PROTOCOL
            round_.nacks_expected += nack
            request = IndirectPing(round_.sequence, node.name, node.address, nack, own.address, own.name)
            self._courier.send(helper.address, request.encode())
        if settings.tcp_pings and node.versions[PROTOCOL_MAX] >= _STREAM_PING_FROM_PROTOCOL:
            self._ping_over_stream(round_)

    def _can_help(self, helper: Node, target: Node) -> bool:
        return helper.state is NodeState.ALIVE and helper.name not in (self._nodes.own_name, target.name)

    def _ping_over_stream(self, round_: _Round) -> None:
        own = self._nodes.own
        request = Ping(round_.sequence, round_.node.name, own.address, own.name).encode()

        def acked(reply: StreamMessage) -> None:
            if isinstance(reply, Ack) and reply.sequence == round_.sequence:
                round_.stream_acked = True

        remaining_ms = max(1, round_.ends.at_ms - self._env.now_ms if round_.ends else 1)
        self._env.dial(round_.node.address, request, remaining_ms, acked, lambda reason: None)

    def _conclude(self) -> None:
        """The time is over without an ack."""
        round_ = self._round
        if round_ is None:
            return
        self._round = None
        node = round_.node
        if round_.stream_acked:
            self._env.count("probes_only_over_streams")
            self._awareness.adjust(-1)
        else:
            if round_.nacks_expected:
                self._awareness.adjust(max(0, round_.nacks_expected - round_.nacks_received))
            else:
                self._awareness.adjust(1)
            self._env.count("probes_failed")
            self._rules.suspect(Suspect(round_.incarnation, node.name, self._nodes.own_name))
        if self._overdue:
            self._probe_next()

    # --- answers ---

    def acked(self, ack: Ack, arrived_us: int | None) -> None:
        """Somebody answered a ping of ours. Late and unknown ones are ignored.

        What comes before others were asked came directly, and measures the way there and back, unless it is not known
        when it came (`arrived_us` None).
        """
        help_ = self._helped.pop(ack.sequence, None)
        if help_ is not None:
            if help_.timer is not None:
                help_.timer.cancel()
            self._courier.send(help_.requester, Ack(help_.sequence).encode())
            return
        round_ = self._round
        if round_ is None or round_.sequence != ack.sequence:
            return
        self._round = None
        if round_.ends is not None:
            round_.ends.cancel()
        if self._timeout is not None:
            self._timeout.cancel()
        self._awareness.adjust(-1)
        if round_.is_direct and arrived_us is not None:
            round_trip_us = max(0, arrived_us - round_.sent_us)
            if not self._coordinates.measured(round_.node.name, ack.payload, round_trip_us):
                self._env.count("coordinates_refused")
        if self._overdue:
            self._probe_next()

    def nacked(self, nack: Nack) -> None:
        """A helper lives, but did not reach the node."""
        round_ = self._round
        if round_ is not None and round_.sequence == nack.sequence and round_.nacks_received < round_.nacks_expected:
            round_.nacks_received += 1

    # --- requests ---

    def pinged(self, ping: Ping, source: Address) -> None:
        """Answer, unless another node is meant."""
        if ping.node and ping.node != self._nodes.own_name:
            self._env.count("pings_for_others")
            return
        self._courier.send(ping.source or source, Ack(ping.sequence, self._coordinates.ack_payload).encode())

    def answer_stream_ping(self, ping: Ping) -> Ack | None:
        """The answer to a ping over a stream, or None when another node is meant."""
        if ping.node and ping.node != self._nodes.own_name:
            self._env.count("pings_for_others")
            return None
        return Ack(ping.sequence)

    def asked_to_ping(self, request: IndirectPing, source: Address) -> None:
        """Ping another node for somebody; say nack when that takes longer than the probe timeout.

        An ack that comes after the nack is passed on all the same, for as long as the requester may wait.
        """
        if len(self._helped) >= _HELPED_MAX:
            self._env.count("indirect_pings_refused")
            return
        sequence = self._next_sequence()
        own = self._nodes.own
        target = request.target
        if target.port == 0:
            target = Address(target.host, own.port)
        help_ = self._helped[sequence] = _Help(request.source or source, request.sequence)

        settings = self._env.settings
        patience_ms = max(0, settings.probe_interval_ms - settings.probe_timeout_ms)

        def forget() -> None:
            self._helped.pop(sequence, None)

        def say_nack() -> None:
            if request.nack:
                self._courier.send(help_.requester, Nack(request.sequence).encode())
            help_.timer = self._env.after(patience_ms, forget)

        help_.timer = self._env.after(settings.probe_timeout_ms, say_nack)
        self._courier.send(target, Ping(sequence, request.node, own.address, own.name).encode())
