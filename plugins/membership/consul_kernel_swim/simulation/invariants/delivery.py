"""A user event is delivered exactly once to every member that is there (contract, clause 6.1).

There is who has joined before it was sent, by the Lamport clocks: where a sender's clock is behind that of the pool
which a newcomer joined, the newcomer takes the event for older than itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.membership import UserEvent

from .base import GossipInvariant

if TYPE_CHECKING:
    from consul_kernel_swim.simulation.agent import Agent
    from consul_kernel_swim.simulation.world import World


class Delivery(GossipInvariant):
    def user_event(self, world: World, agent: Agent, event: UserEvent) -> None:
        times = agent.user_events[event.name, event.payload]
        self.require(times == 1, f"{agent.name} got {event.name} {times} times")

    def at_rest(self, world: World) -> None:
        for sent in world.events:
            key = sent.name, sent.payload
            there = [
                agent
                for agent in sent.audience
                if agent.running
                and not agent.is_leaving
                and agent.swim.serf.user_events.minimum_time <= sent.lamport_time
            ]
            # What a sender takes with it when it dies has reached nobody, or else reaches all.
            if sent.sender.running or any(agent.user_events[key] for agent in there):
                for agent in there:
                    got = agent.user_events[key]
                    self.require(got == 1, f"{agent.name} never got {sent.name}, sent at {sent.sent_ms} ms")
