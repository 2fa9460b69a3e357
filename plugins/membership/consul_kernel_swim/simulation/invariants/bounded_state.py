"""What an agent keeps is bounded: queues, timers, exchanges under way, intents; and in calm the queues run dry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World

_TIMERS_MIN = 64


class BoundedState(GossipInvariant):
    def look(self, world: World) -> None:
        for agent in world.running():
            self._look_at(world, agent)

    def _look_at(self, world: World, agent: Agent) -> None:
        swim = agent.swim
        for queue in swim.courier.queues:
            depth = len(queue)
            self.require(depth <= queue.depth_max, f"{agent.name} has {depth} broadcasts in one queue")
        # For each member at most a suspicion, with what its confirmations have replaced, and a probe for another.
        timers, most = len(swim.timers), _TIMERS_MIN + 8 * len(world.agents)
        self.require(timers <= most, f"{agent.name} has {timers} timers")

    def at_rest(self, world: World) -> None:
        for agent in world.members():
            for queue in agent.swim.courier.queues:
                self.require(not len(queue), f"in calm, {agent.name} still has {len(queue)} broadcasts to send")
