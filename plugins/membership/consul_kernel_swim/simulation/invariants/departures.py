"""In calm, a leave is told to everybody as a leave, and never taken for a failure (contract, clause 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind, MemberStatus

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World


class Departures(GossipInvariant):
    def member_changed(self, world: World, agent: Agent, event: MemberEvent) -> None:
        if event.kind is MemberEventKind.FAILED:
            leaver = world.agents[event.member.name]
            calm = world.settled and leaver.is_leaving
            self.require(not calm, f"{leaver.name} leaves in calm, and {agent.name} takes it for failed")

    def at_rest(self, world: World) -> None:
        for leaver in world.agents.values():
            if leaver.left_in_calm and not leaver.running:
                for agent in world.members():
                    if agent.started_ms > leaver.leaving_ms:
                        continue  # who came later need not know
                    status = agent.status_of(leaver.name)
                    if status is not MemberStatus.LEFT:
                        seen = "unknown" if status is None else status.name
                        self.require(False, f"{leaver.name} left in calm, and to {agent.name} it is {seen}")
