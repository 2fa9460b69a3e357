"""When all is calm, everybody knows the same, also where the pool was torn in two before (SWIM: weak consistency).

Of members that are gone, those who have come later need not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel_swim.core.messages import NodeState
from consul_kernel_swim.core.versions import without_exchange

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World


class Agreement(GossipInvariant):
    def at_rest(self, world: World) -> None:
        members = world.members()
        for name, gone in world.agents.items():
            if not gone.running:
                self._compare_gone(name, members)
        for agent in members:
            self._compare_living(agent, members)

    def _compare_living(self, agent: Agent, members: list[Agent]) -> None:
        """How an agent describes itself is how all describe it."""
        name, own, tags = agent.name, agent.swim.nodes.own, agent.swim.local_member().tags
        for other in members:
            node, member = other.swim.nodes.peek(name), other.swim.serf.roster.get(name)
            if node is None or member is None:
                self.require(False, f"{other.name} does not know {name}")
            elif node.state is not NodeState.ALIVE or node.incarnation != own.incarnation:
                heard = f"{node.state.name} at incarnation {node.incarnation}"
                self.require(False, f"{other.name} knows {name} as {heard}, and it is alive at {own.incarnation}")
            elif node.port != own.port or node.host != own.host:
                self.require(False, f"{other.name} knows {name} at {node.address}, and it is at {own.address}")
            elif not other.is_plain and node.versions not in (own.versions, without_exchange(own.versions)):
                # Who compares no digests never looks at the seventh byte, and tells nobody of it.
                self.require(False, f"{other.name} takes {name} for a speaker of {node.versions.hex()}")
            elif member.tags is not tags and member.tags != tags:
                self.require(False, f"{other.name} knows {name} with the tags {member.tags}, and they are {tags}")

    def _compare_gone(self, name: str, members: list[Agent]) -> None:
        """Failed or left: the same to all who know of it."""
        seen = {status: agent.name for agent in members if (status := agent.status_of(name)) is not None}
        allowed = {MemberStatus.FAILED, MemberStatus.LEFT}
        told = ", ".join(f"{status.name} to {who}" for status, who in sorted(seen.items()))
        self.require(len(seen) <= 1 and set(seen) <= allowed, f"{name} is {told}")
