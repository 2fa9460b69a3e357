"""In the datacenter of a few agents, a crash is known to all within eight seconds."""

from __future__ import annotations

import random

from consul_kernel_swim.core.messages import NodeState
from consul_kernel_swim.core.settings import PROFILES
from consul_kernel_swim.simulation.world import World

AGENTS, CONTACTS = 8, 3
SEEDS = 100
KNOWN_WITHIN_MS = 8_000


def is_known_in_time(seed: int) -> bool:
    """Whether everybody else holds an agent for failed, so long after its crash at some moment."""
    world = World(seed, PROFILES["lan"])
    for number in range(AGENTS):
        world.start(f"n{number}", contacts=[agent.address for agent in list(world.agents.values())[:CONTACTS]])
    crash_ms = random.Random(seed).randrange(5_000, 13_000)
    world.timeline.run_until(crash_ms)
    *others, victim = world.agents.values()
    victim.crash()
    world.timeline.run_until(crash_ms + KNOWN_WITHIN_MS)
    nodes = [other.swim.nodes.get(victim.name) for other in others]
    return all(node is not None and node.state is NodeState.DEAD for node in nodes)


def test_crash_in_a_pool_of_eight_is_known_to_all_within_eight_seconds() -> None:
    assert [seed for seed in range(SEEDS) if not is_known_in_time(seed)] == []
