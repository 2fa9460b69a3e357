"""No live, reachable member stays failed, and in calm none is ever taken for failed (SWIM: accuracy)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind, MemberStatus

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World


class Accuracy(GossipInvariant):
    """`false_alarms` counts how often somebody took a live member for failed, whatever the reason."""

    def __init__(self) -> None:
        self.false_alarms = 0

    def member_changed(self, world: World, agent: Agent, event: MemberEvent) -> None:
        if event.kind is not MemberEventKind.FAILED:
            return
        accused = world.agents[event.member.name]
        if accused.running and not accused.is_leaving:
            self.false_alarms += 1
            calm = world.settled and accused.joined_ms is not None
            self.require(not calm, f"in calm, {agent.name} takes {accused.name} for failed, which lives")

    def at_rest(self, world: World) -> None:
        members = world.members()
        down = [agent.name for agent in world.agents.values() if not agent.running]
        for agent in members:
            alive = agent.swim.serf.roster.count(MemberStatus.ALIVE)
            if alive != len(members) or any(agent.status_of(name) is MemberStatus.ALIVE for name in down):
                self._say_what_is_wrong(agent, members, down)

    def _say_what_is_wrong(self, agent: Agent, members: list[Agent], down: list[str]) -> None:
        for name in down:
            self.require(
                agent.status_of(name) is not MemberStatus.ALIVE, f"to {agent.name}, {name} is alive, and is not"
            )
        for other in members:
            status = agent.status_of(other.name)
            seen = "unknown" if status is None else status.name
            self.require(status is MemberStatus.ALIVE, f"to {agent.name}, {other.name} is {seen}, and it lives")
        self.require(False, f"{agent.name} knows of members that there never were")
