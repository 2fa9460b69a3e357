"""When all is calm, everybody knows the same, also where the pool was torn in two before (SWIM: weak consistency).

Of members that are gone, those who have come later need not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel_swim.core.messages import NodeState

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World


class Agreement(GossipInvariant):
    def at_rest(self, world: World) -> None:
        members = world.members()
        for agent in members:
            self._compare_living(agent, members)
        for name, gone in world.agents.items():
            if not gone.running:
                self._compare_gone(name, members)

    def _compare_living(self, agent: Agent, members: list[Agent]) -> None:
        """How an agent describes itself is how all describe it."""
        own = agent.swim.nodes.own
        said = (NodeState.ALIVE, own.incarnation, own.address, own.meta, agent.swim.local_member().tags)
        for other in members:
            node, member = other.swim.nodes.peek(agent.name), other.swim.serf.roster.get(agent.name)
            heard = None
            if node is not None and member is not None:
                heard = (node.state, node.incarnation, node.address, node.meta, member.tags)
            if heard != said:
                self.require(False, f"{other.name} knows {agent.name} as {heard}, and it is {said}")

    def _compare_gone(self, name: str, members: list[Agent]) -> None:
        """Failed or left: the same to all who know of it."""
        seen = {status: agent.name for agent in members if (status := agent.status_of(name)) is not None}
        allowed = {MemberStatus.FAILED, MemberStatus.LEFT}
        told = ", ".join(f"{status.name} to {who}" for status, who in sorted(seen.items()))
        self.require(len(seen) <= 1 and set(seen) <= allowed, f"{name} is {told}")
