"""Incarnations never go back, and only a member itself raises its own (SWIM, section 4.2).

A name that was forgotten, or that was taken over by another address, begins anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.nodes import Node

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
        seen = self._seen.setdefault(agent, {})
        for node in agent.swim.nodes.touched():
            was = seen.get(node.name)
            if was is not None and was[0] == node.incarnation and was[1] is node.address:
                continue
            seen[node.name] = (node.incarnation, node.address)
            if was is not None and was[1] == node.address and node.incarnation < was[0]:
                self._complain(agent, node, f"went from incarnation {was[0]} back to {node.incarnation}")
            highest = self._highest.get(node.name, 0)
            if node.incarnation > highest:
                self._complain(agent, node, f"has incarnation {node.incarnation}, and never went beyond {highest}")

    def _complain(self, agent: Agent, node: Node, what: str) -> None:
        known = agent.swim.nodes.peek(node.name) is node
        self.require(not known, f"at {agent.name}, {node.name} {what}")
