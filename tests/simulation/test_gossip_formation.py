"""A datacenter whose agents start at once is whole within a second, without waiting for the next exchange of states."""

from __future__ import annotations

import random
from functools import partial

import pytest

from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import AnnounceJoin, Join, Started
from consul_kernel_swim.core.messages import NodeState
from consul_kernel_swim.core.settings import PROFILES
from consul_kernel_swim.simulation.agent import Agent
from consul_kernel_swim.simulation.world import World

SERVERS, AGENTS = 3, 8
SEEDS = 60
WHOLE_WITHIN_MS = 1_000


class Formation:
    """Three servers and five clients; each joins all servers, again until one of them answers."""

    def __init__(self, seed: int, spread_ms: int) -> None:
        self._rng = random.Random(seed)
        self._world = World(seed, PROFILES["lan"])
        self._addresses = [self._world.free_address() for _ in range(AGENTS)]
        starts_ms = [self._rng.randrange(spread_ms) for _ in self._addresses]
        self._last_start_ms = max(starts_ms)
        for address, start_ms in zip(self._addresses, starts_ms, strict=True):
            self._world.timeline.at(start_ms, self._start, address)

    def is_whole(self) -> bool:
        """Whether everyone sees everyone, so long after the last start."""
        self._world.timeline.run_until(self._last_start_ms + WHOLE_WITHIN_MS)
        return all(
            sum(node.state is NodeState.ALIVE for node in agent.swim.nodes) == AGENTS
            for agent in self._world.agents.values()
        )

    def _start(self, address: Address) -> None:
        agent = self._world.create(address.host, address)
        agent.give(Started())
        self._join(agent)

    def _join(self, agent: Agent) -> None:
        others = [address for address in self._addresses[:SERVERS] if address != agent.address]
        commands = [self._world.command(agent, partial(Join, address=to)) for to in others]
        self._world.timeline.after(150, self._look, agent, commands)

    def _look(self, agent: Agent, commands: list[int]) -> None:
        if any(agent.done.get(command, "not done") is None for command in commands):
            agent.give(AnnounceJoin())
        else:
            self._world.timeline.after(self._rng.randrange(100, 400), self._join, agent)


@pytest.mark.parametrize("spread_ms", [100, 600])
def test_pool_that_forms_at_once_is_whole_within_a_second(spread_ms: int) -> None:
    incomplete = [seed for seed in range(SEEDS) if not Formation(seed, spread_ms).is_whole()]
    assert not incomplete
