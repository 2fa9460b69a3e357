"""In calm, nobody doubts its own health for long: the score falls with each answered probe (Lifeguard, IV.A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.world import World


class Health(GossipInvariant):
    def at_rest(self, world: World) -> None:
        for agent in world.members():
            score = agent.swim.awareness.score
            self.require(score == 0, f"in calm, {agent.name} still has the score {score}")
