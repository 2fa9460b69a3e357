"""Courses of events that chaos meets too rarely, or covers up; and chaos in small, for bugs that it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from consul_kernel.testing.simulation import ViolationError
from consul_kernel_swim.core.settings import PROFILES, Settings
from consul_kernel_swim.simulation.agent import tags_of
from consul_kernel_swim.simulation.bounds import healing_ms
from consul_kernel_swim.simulation.course import Course
from consul_kernel_swim.simulation.invariants import ProbeRounds, all_invariants
from consul_kernel_swim.simulation.options import GossipOptions
from consul_kernel_swim.simulation.settled import populate
from consul_kernel_swim.simulation.world import World

Scenario = Callable[[int], None]
LAN = PROFILES["lan"]


def pool(seed: int, size: int, settings: Settings = LAN) -> World:
    """A pool at rest."""
    world = World(seed, settings, invariants=all_invariants())
    populate(world, size)
    world.calm_since_ms = 0
    world.settled = True
    return world


def course(seed: int, **options: object) -> None:
    """One run of the command. Raises ViolationError."""
    report = Course(GossipOptions(seed=seed, **options), lambda share, text: None).run()  # type: ignore[arg-type]
    for violation in report.violations:
        raise ViolationError(violation)


def nobody_accused(world: World) -> None:
    """Whoever was accused has refuted; nobody should have had to. Raises ViolationError."""
    for agent in world.running():
        for count in ("probes_failed", "refutations"):
            if agent.swim.counters[count]:
                raise ViolationError(f"{agent.name} counts {count}, and all can be reached")


def rounds(seed: int) -> None:
    """A pool at rest, for some turns of probes."""
    world = World(seed, LAN, invariants=[*all_invariants(), ProbeRounds()])
    populate(world, 12)
    world.settled = True
    world.timeline.run_until(80_000)
    nobody_accused(world)
    world.check_rest()


def broken_link(seed: int) -> None:
    """Some do not reach one other member each, by packets or streams; but everybody else reaches both."""
    world = pool(seed, 15, replace(LAN, tcp_pings=False))
    for number in (1, 3, 5, 7):
        world.network.cut([f"n{number}"], [f"n{number + 1}"])
    world.timeline.run_until(60_000)
    nobody_accused(world)


def short_pauses(seed: int) -> None:
    """Members that stand still for less time than a suspicion lasts."""
    world = pool(seed, 20)
    for number in range(6):
        world.timeline.at(5_000 + 8_000 * number, world.agents[f"n{3 * number + 1}"].stall, 4_000)
    world.timeline.run_until(60_000)
    world.check_rest()


def long_partition(seed: int) -> None:
    """Two halves, for so long that each has forgotten the other but for its names."""
    world = World(seed, replace(LAN, gossip_to_the_dead_ms=5_000), invariants=all_invariants())
    populate(world, 12)
    cuts = world.network.split(list(world.agents)[:6])
    world.timeline.run_until(90_000)
    world.network.mend(*cuts)
    world.calm_since_ms = world.timeline.now_ms

    def wrong() -> str:
        try:
            world.check_rest()
        except ViolationError as violation:
            return str(violation)
        return ""

    world.timeline.run_until_true(lambda: not wrong(), healing_ms(world.settings, 12, 0), wrong, every_ms=1_000)


def missed_news(seed: int) -> None:
    """One member hears nothing while others change, for so short a time that nobody buries it: exchanges must tell it.

    They are so rare that most times none is under way meanwhile.
    """
    world = pool(seed, 12, replace(LAN, push_pull_interval_ms=20_000))
    cuts = world.network.split(["n5"])
    for number in (1, 2, 3):
        world.set_tags(world.agents[f"n{number}"], {**tags_of(f"n{number}"), "version": "2"})
    world.timeline.run_until(2_000)
    world.network.mend(*cuts)
    world.timeline.run_until(100_000)
    world.check_rest()


def quiet_course(seed: int) -> None:
    """Nothing goes wrong but one crash; an event, a leave, other tags, a return."""
    course(seed, nodes=20, faults="none", seconds=0)


def chaos(seed: int) -> None:
    """Everything goes wrong."""
    course(seed, nodes=20, seconds=15)


SCENARIOS: tuple[Scenario, ...] = (quiet_course, rounds, broken_link, short_pauses, long_partition, missed_news, chaos)
