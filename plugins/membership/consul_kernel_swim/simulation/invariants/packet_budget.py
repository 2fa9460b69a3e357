"""No packet is longer than what a datagram may hold, sealing included (memberlist's UDPBufferSize)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World


class PacketBudget(GossipInvariant):
    def sending(self, world: World, agent: Agent, packet: bytes) -> None:
        limit = world.settings.packet_bytes - world.settings.sealed_overhead_bytes
        if len(packet) > limit:
            self.require(False, f"{agent.name} sends {len(packet)} bytes in a packet, {limit} are allowed")
