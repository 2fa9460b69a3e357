"""Incarnations never go back, and only a member itself raises its own (SWIM, section 4.2).

A name that was forgotten, or that was taken over by another address, begins anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from consul_kernel.contracts.transport import Address

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World


class Incarnations(GossipInvariant):
    def __init__(self) -> None:
        self._seen: WeakKeyDictionary[Agent, dict[str, tuple[int, Address]]] = WeakKeyDictionary()
        self._highest: dict[str, int] = {}
        self._lives: list[Agent] = []

    def started(self, world: World, agent: Agent) -> None:
        self._lives.append(agent)

    def look(self, world: World) -> None:
        for agent in self._lives:
            own = agent.swim.nodes.own.incarnation
            self._highest[agent.name] = max(own, self._highest.get(agent.name, 0))
        self._lives = [agent for agent in self._lives if agent.running]
        for agent in world.running():
            self._look_at(agent)

    def _look_at(self, agent: Agent) -> None:
        before = self._seen.get(agent, {})
        now: dict[str, tuple[int, Address]] = {}
        for node in agent.swim.nodes:
            known = now[node.name] = (node.incarnation, node.address)
            if before.get(node.name) == known:
                continue
            was = before.get(node.name)
            if was is not None and was[1] == known[1] and known[0] < was[0]:
                self.require(False, f"at {agent.name}, {node.name} went from incarnation {was[0]} back to {known[0]}")
            highest = self._highest.get(node.name, 0)
            if known[0] > highest:
                self.require(
                    False,
                    f"{agent.name} knows incarnation {known[0]} of {node.name}, which never went beyond {highest}",
                )
        self._seen[agent] = now
