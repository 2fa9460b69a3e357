"""In a pool at rest, each member probes every other one once in each turn, so within 2(n - 1) - 1 probes of its own
(SWIM, section 4.3: round robin).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from consul_kernel_swim.core.messages import Ping, decode_message
from consul_kernel_swim.core.packets import split_packet

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World


class ProbeRounds(GossipInvariant):
    """Pings for others cannot be told from an agent's own: this one is for pools in which nothing goes wrong."""

    def __init__(self) -> None:
        self._probes: WeakKeyDictionary[Agent, dict[str, int]] = WeakKeyDictionary()
        self._count: WeakKeyDictionary[Agent, int] = WeakKeyDictionary()

    def sending(self, world: World, agent: Agent, packet: bytes) -> None:
        parts, _ = split_packet(packet)
        message = decode_message(parts[0])
        if not isinstance(message, Ping):
            return
        count = self._count[agent] = self._count.get(agent, 0) + 1
        last = self._probes.setdefault(agent, {})
        others = len(world.agents) - 1
        for name in world.agents:
            waited = count - last.get(name, 0)
            if name not in (agent.name, message.node):
                self.require(waited < 2 * others, f"{agent.name} has not come to {name} for {waited} probes")
        last[message.node] = count
