"""Pools of simulated agents under loss, crashes, leaves and partitions; each seed is another course of events."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from consul_kernel.contracts.membership import MemberEventKind, MemberStatus
from consul_kernel_swim.core.messages import Suspect
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.suspicion import suspicion_timeout_ms
from simulation.gossip_world import SETTINGS, Simulated, World

CALM_MS = 60_000


def make_pool(world: World, count: int) -> list[Simulated]:
    """Agents that have all joined the first one and know each other."""
    agents = [world.start(f"n{number}") for number in range(count)]
    for agent in agents[1:]:
        world.join(agent, "n0")
    names = {agent.name for agent in agents}
    world.run_until_true(
        lambda: all({member.name for member in agent.swim.members()} == names for agent in agents),
        CALM_MS,
        "everyone knows everyone",
    )
    return agents


def detection_bound_ms(settings: Settings, count: int) -> int:
    """SWIM's completeness: every member is probed within 2n - 1 intervals; then suspicion, then gossip."""
    suspicion = suspicion_timeout_ms(settings.suspicion_mult, count, settings.probe_interval_ms)
    spreading = 2 * settings.push_pull_interval_ms
    return (2 * count - 1) * settings.probe_interval_ms + settings.suspicion_max_timeout_mult * suspicion + spreading


def play(seed: int) -> World:
    """One seeded course: joins, noise, events, a crash, a leave, maybe a restart or a partition, then calm."""
    world = World(seed)
    rng = world.rng
    count = rng.choice((5, 5, 6, 7, 8, 12, 20))
    agents = make_pool(world, count)
    crashed, leaving, cut = rng.sample(agents[1:], 3)
    noise_from = world.now_ms
    world.network.loss = rng.choice((0.0, 0.02, 0.1))
    world.network.duplicates = rng.choice((0.0, 0.1))
    world.network.delay_ms_max = rng.choice((5, 50, 200))
    sent = {(f"event-{number}", rng.randbytes(rng.randrange(200))) for number in range(4)}
    stayers = [agent for agent in agents if agent not in (crashed, leaving, cut)]
    for name, payload in sorted(sent):
        sender = rng.choice(stayers)
        world.at(noise_from + rng.randrange(4_000), partial(world.user_event, sender, name, payload))
    world.at(noise_from + rng.randrange(5_000), lambda: world.crash(crashed.name))
    world.at(noise_from + rng.randrange(5_000), lambda: world.leave(leaving))
    if seed % 3 == 0:
        world.at(noise_from + rng.randrange(5_000), lambda: world.isolate(cut.name))
    world.run_until(noise_from + 12_000)
    world.network.loss = world.network.duplicates = 0.0
    world.network.delay_ms_max = 5
    world.heal()
    if seed % 4 == 0:
        world.run_until_true(
            lambda: world.agree(crashed.name, MemberStatus.FAILED), detection_bound_ms(SETTINGS, count), "crash known"
        )
        world.join(world.start(crashed.name), "n0")
    check_end(world, crashed, leaving, sent)
    return world


def check_end(world: World, crashed: Simulated, leaving: Simulated, sent: set[tuple[str, bytes]]) -> None:
    """In the calm after the noise everything comes right."""
    bound = detection_bound_ms(SETTINGS, len(world.agents))
    back = world.agents[crashed.name] is not crashed
    status = MemberStatus.ALIVE if back else MemberStatus.FAILED
    world.run_until_true(lambda: world.agree(crashed.name, status), bound, f"{crashed.name} is {status.name}")
    # Whoever started later is told neither of those who left before nor of the events before.
    veterans = [agent for agent in world.running() if agent.name != crashed.name]
    world.run_until_true(
        lambda: all(agent.status(leaving.name) is MemberStatus.LEFT for agent in veterans), bound, "the leave is known"
    )
    world.run_until_true(
        lambda: all(world.agree(agent.name, MemberStatus.ALIVE) for agent in world.running()), CALM_MS, "all live"
    )
    world.run_until_true(
        lambda: all(sent <= set(agent.user_events) for agent in veterans), CALM_MS, "user events have arrived"
    )
    for agent in world.running():
        assert agent.swim.counters["malformed"] == 0


@pytest.mark.parametrize("first_seed", range(0, 200, 50))
def test_seeded_courses_come_right(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 50):
        try:
            play(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_thirty_agents_notice_a_crash() -> None:
    world = World(30)
    agents = make_pool(world, 30)
    world.crash("n7")
    world.run_until_true(
        lambda: world.agree("n7", MemberStatus.FAILED), detection_bound_ms(SETTINGS, 30), "n7 is failed"
    )
    assert all(agent.kinds["n7"] == [MemberEventKind.JOIN, MemberEventKind.FAILED] for agent in agents if agent.running)


@pytest.mark.parametrize("seed", range(5))
def test_calm_pool_accuses_nobody(seed: int) -> None:
    world = World(seed)
    agents = make_pool(world, 8)
    world.run_until(world.now_ms + 60_000)
    for agent in agents:
        assert set(map(tuple, agent.kinds.values())) == {(MemberEventKind.JOIN,)}
        assert agent.swim.awareness.score == 0


@pytest.mark.parametrize("seed", range(10))
def test_leave_without_loss_is_never_failed(seed: int) -> None:
    world = World(seed)
    agents = make_pool(world, 7)
    world.leave(agents[3])
    world.run_until_true(lambda: world.agree("n3", MemberStatus.LEFT), 10_000, "n3 is left")
    world.run_until(world.now_ms + 30_000)
    for agent in world.running():
        assert agent.kinds["n3"] == [MemberEventKind.JOIN, MemberEventKind.LEAVE]


@pytest.mark.parametrize("seed", range(10))
def test_false_accusation_is_refuted(seed: int) -> None:
    world = World(seed)
    agents = make_pool(world, 6)
    accused = agents[2]
    before = accused.swim.nodes.own.incarnation
    lie = Suspect(before, accused.name, "n5").encode()
    for agent in agents:
        world.at(world.now_ms, partial(world.inject, agent, lie))
    world.run_until(world.now_ms + 60_000)
    assert accused.swim.nodes.own.incarnation > before
    for agent in agents:
        assert agent.status(accused.name) is MemberStatus.ALIVE
        assert MemberEventKind.FAILED not in agent.kinds[accused.name]


def test_same_seed_gives_the_same_transcript() -> None:
    assert play(12).digest() == play(12).digest()
    assert play(12).digest() != play(13).digest()


def test_transcript_does_not_depend_on_hash_order() -> None:
    roots = os.pathsep.join(sys.path)
    code = "from simulation.test_gossip_simulation import play; print(play(9).digest())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": roots},
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1
