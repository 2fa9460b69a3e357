"""The shape of an invariant of the gossip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.membership import MemberEvent, UserEvent
from consul_kernel.testing.simulation import Invariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World


class GossipInvariant(Invariant):
    """Subclasses define what they want to see; the world calls only what is defined."""

    def started(self, world: World, agent: Agent) -> None:
        """An agent is about to take its first step."""

    def sending(self, world: World, agent: Agent, packet: bytes) -> None:
        """A packet is about to go out."""

    def member_changed(self, world: World, agent: Agent, event: MemberEvent) -> None:
        """An agent was told that a member changed."""

    def user_event(self, world: World, agent: Agent, event: UserEvent) -> None:
        """An agent was given a user event."""

    def look(self, world: World) -> None:
        """A second of the world has passed."""

    def at_rest(self, world: World) -> None:
        """Nothing has gone wrong for long enough that everything must have come right."""
