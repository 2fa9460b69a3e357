"""A member sends one broadcast mult × ceil(log10(n + 1)) times at most (SWIM, section 4.1; memberlist's limit).

Counted are the parts of packets, as octets, against how often the member queued these very octets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel_swim.core.broadcasts import BroadcastQueue
from consul_kernel_swim.core.messages import Ping, decode_message
from consul_kernel_swim.core.packets import split_packet

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World

_ANSWERS = b"\x00\x01\x02\x0b"
"""Ping, indirect ping, ack and nack: sent for themselves, never queued."""


class _Ledger:
    """What one agent queued and sent, and the most members that it has known."""

    __slots__ = ("most", "queued", "sent")

    def __init__(self) -> None:
        self.queued: Counter[bytes] = Counter()
        self.sent: Counter[bytes] = Counter()
        self.most = 1


class RetransmitLimit(GossipInvariant):
    def __init__(self) -> None:
        self._ledgers: WeakKeyDictionary[Agent, _Ledger] = WeakKeyDictionary()

    def started(self, world: World, agent: Agent) -> None:
        """Look over the shoulder of whoever queues."""
        ledger = self._ledgers[agent] = _Ledger()
        courier = agent.swim.courier
        broadcast = courier.broadcast

        def noted(
            queue: BroadcastQueue,
            message: bytes,
            name: str | None = None,
            on_sent: Callable[[], None] | None = None,
            expires_ms: int | None = None,
        ) -> None:
            ledger.queued[message] += 1
            broadcast(queue, message, name, on_sent, expires_ms)

        courier.broadcast = noted  # type: ignore[method-assign]

    def sending(self, world: World, agent: Agent, packet: bytes) -> None:
        ledger = self._ledgers[agent]
        ledger.most = max(ledger.most, len(agent.swim.nodes), len(agent.swim.serf.roster))
        parts, _ = split_packet(packet)
        for part in parts[_direct(parts) :]:
            if part[0] not in _ANSWERS:
                ledger.sent[part] += 1
                self._check(world, agent, ledger, part)

    def _check(self, world: World, agent: Agent, ledger: _Ledger, part: bytes) -> None:
        times = ledger.queued[part]
        limit = max(1, world.settings.retransmit_mult * math.ceil(math.log10(ledger.most + 1)))
        if times and ledger.sent[part] > limit * times:
            text = f"{agent.name} sends {_describe(part)} for the {ledger.sent[part]}th time, {limit} are allowed"
            self.require(False, text if times == 1 else f"{text} each time that it is news, and it was {times} times")


def _direct(parts: list[bytes]) -> int:
    """How many parts at the front were not taken from a queue: an accusation goes with the ping to the accused."""
    accusation = len(parts) > 1 and parts[0][:1] == b"\x00" and parts[1][:1] == b"\x03"
    return 2 if accusation and isinstance(decode_message(parts[0]), Ping) else 0


def _describe(part: bytes) -> str:
    try:
        return repr(decode_message(part))
    except PeerProtocolError:
        return repr(part)
