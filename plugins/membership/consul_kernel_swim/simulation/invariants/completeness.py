"""Every crash is known to everybody within the bound (SWIM: time-bounded completeness; `bounds.detection_ms`).

first probe + the probe itself + the longest suspicion + two times the spreading of a rumour

The bound counts from the crash, or from the end of the last fault, since before that nothing is promised. And when all
has come right, nobody who is down is taken for alive again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind, MemberStatus
from consul_kernel_swim.simulation.bounds import detection_ms

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World


class Completeness(GossipInvariant):
    def member_changed(self, world: World, agent: Agent, event: MemberEvent) -> None:
        if event.kind is MemberEventKind.JOIN and world.settled:
            risen = world.agents[event.member.name]
            self.require(risen.running, f"in calm, {agent.name} takes {risen.name} for alive, which is down")

    def look(self, world: World) -> None:
        calm_ms = world.calm_since_ms
        if calm_ms is None:
            return
        now_ms, size = world.timeline.now_ms, len(world.agents)
        for agent in world.agents.values():
            if agent.ended_ms is None:
                continue
            passed_ms = now_ms - max(agent.ended_ms, calm_ms)
            bound_ms = detection_ms(world.settings, size, world.settings.awareness_max_multiplier - 1)
            if passed_ms > bound_ms:
                self._check(world, agent.name, bound_ms)

    def _check(self, world: World, name: str, bound_ms: int) -> None:
        for agent in world.members():
            if agent.status_of(name) is MemberStatus.ALIVE:
                self.require(False, f"{name} is down for more than {bound_ms} ms, and {agent.name} takes it for alive")
