"""How often slow members make others believe that healthy ones have failed, with Lifeguard and without it.

Source: Dadgar, Phillips, Currey, "Lifeguard: Local Health Awareness for More Accurate Failure Detection", 2017, section
V: some of 128 members stand still for a while, run for a moment, stand still again, and so on; counted is each time
that any member is told of the failure of a healthy one. Lifeguard cuts these false alarms fiftyfold, by what was
published (https://www.hashicorp.com/blog/making-gossip-more-robust-with-lifeguard, 2017).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from consul_kernel.contracts.membership import GossipEvent, MemberEvent, MemberEventKind
from consul_kernel_swim.core.settings import PROFILES, Settings
from consul_kernel_swim.simulation.agent import Agent
from consul_kernel_swim.simulation.settled import populate
from consul_kernel_swim.simulation.strikes import Slowness
from consul_kernel_swim.simulation.world import World

REDUCTION_PUBLISHED = 50
MEMBERS = 128


@dataclass(frozen=True, slots=True)
class Alarms:
    """False alarms about healthy members: of everybody, and of those that are healthy themselves."""

    of_all: int
    of_healthy: int


LIFEGUARD = PROFILES["lan"]
SWIM_ALONE = replace(LIFEGUARD, awareness_max_multiplier=1, suspicion_max_timeout_mult=1)
"""Probes never slow down, and suspicions last as short as they may."""


def count_false_alarms(
    seed: int,
    *,
    settings: Settings,
    is_patient: bool,
    members: int = MEMBERS,
    slow: int = 16,
    block_ms: int = 8_000,
    run_ms: int = 1,
    seconds: int = 120,
) -> Alarms:
    """One run of the experiment: `slow` of the members stand still for `block_ms` and run for `run_ms` in turns.

    `is_patient`: after a standstill they first take what came meanwhile, as this project's agents do.
    """
    world = World(seed, settings, is_patient=is_patient)
    populate(world, members)
    rng = random.Random(seed)
    victims = rng.sample(world.members(), slow)
    names = {agent.name for agent in victims}
    count = {True: 0, False: 0}

    def watch(agent: Agent, event: GossipEvent) -> None:
        if isinstance(event, MemberEvent) and event.kind is MemberEventKind.FAILED and event.member.name not in names:
            count[agent.name in names] += 1

    world.watchers.append(watch)
    Slowness(world, rng, block_ms=block_ms, run_ms=run_ms).begin(victims)
    world.timeline.run_until(seconds * 1_000)
    return Alarms(count[True] + count[False], count[False])
