"""A member sends one broadcast mult × ceil(log10(n + 1)) times at most (SWIM, section 4.1; memberlist's limit), twice
that while fewer than ten are known.

Counted are the parts of packets, as octets, against how often the member queued these very octets.
"""

from __future__ import annotations

import math
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


class _Count:
    """How often an agent queued a message, and how often it has sent it since."""

    __slots__ = ("queued", "sent")

    def __init__(self) -> None:
        self.queued = 0
        self.sent = 0


class _Ledger:
    """What one agent queued, the most members that it has known, and how often it may therefore send each message."""

    __slots__ = ("counts", "limit", "most")

    def __init__(self) -> None:
        self.counts: dict[bytes, _Count] = {}
        self.most = 0
        self.limit = 1


class RetransmitLimit(GossipInvariant):
    def __init__(self) -> None:
        self._ledgers: WeakKeyDictionary[Agent, _Ledger] = WeakKeyDictionary()

    def started(self, world: World, agent: Agent) -> None:
        """Look over the shoulder of whoever queues."""
        ledger = self._ledgers[agent] = _Ledger()
        courier = agent.swim.courier
        broadcast, counts = courier.broadcast, ledger.counts

        def noted(
            queue: BroadcastQueue,
            message: bytes,
            name: str | None = None,
            on_sent: Callable[[], None] | None = None,
            expires_ms: int | None = None,
        ) -> None:
            count = counts.get(message)
            if count is None:
                count = counts[message] = _Count()
            count.queued += 1
            broadcast(queue, message, name, on_sent, expires_ms)

        courier.broadcast = noted  # type: ignore[method-assign]

    def sending(self, world: World, agent: Agent, packet: bytes) -> None:
        ledger = self._ledgers[agent]
        members = max(len(agent.swim.nodes), len(agent.swim.serf.roster))
        if members > ledger.most:
            ledger.most = members
            ledger.limit = max(1, world.settings.retransmit_mult * max(2, math.ceil(math.log10(members + 1))))
        parts, _ = split_packet(packet)
        counts, limit = ledger.counts, ledger.limit
        for part in parts[_direct(parts) :]:
            count = counts.get(part)
            if count is not None:
                count.sent += 1
                if count.sent > limit * count.queued:
                    self._complain(agent, part, count, limit)

    def _complain(self, agent: Agent, part: bytes, count: _Count, limit: int) -> None:
        text = f"{agent.name} sends {_describe(part)} for the {count.sent}th time, {limit} are allowed"
        times = f"{text} each time that it is news, and it was {count.queued} times"
        self.require(False, text if count.queued == 1 else times)


def _direct(parts: list[bytes]) -> int:
    """How many parts at the front were not taken from a queue: an accusation goes with the ping to the accused."""
    accusation = len(parts) > 1 and parts[0][:1] == b"\x00" and parts[1][:1] == b"\x03"
    return 2 if accusation and isinstance(decode_message(parts[0]), Ping) else 0


def _describe(part: bytes) -> str:
    try:
        return repr(decode_message(part))
    except PeerProtocolError:
        return repr(part)
