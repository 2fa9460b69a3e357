"""Courses of events that random runs meet too rarely: the edges of the leader's lease."""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel_raft.core import TransferLeadership

from .raft_world import SimServer, World


def _leader_of_three(seed: int) -> tuple[World, SimServer, SimServer, SimServer]:
    """A quiet quorum of three with some writes: its leader and the two others."""
    world = World(seed, servers=3, founders=3)
    _wait(world, lambda: any(server.raft and server.raft.lease_until_ms for server in world.leaders()))
    leader = world.leaders()[-1]
    world.write(leader)
    world.run_until(world.now_ms + 100)
    a, b = (server for server in world.servers.values() if server is not leader)
    return world, leader, a, b


def _wait(world: World, holds: Callable[[], bool], within_ms: int = 5000) -> None:
    assert world.run_until(world.now_ms + within_ms, holds), "the scenario does not come about"


def _new_leader_writes_while_the_old_one_reads(world: World, old: SimServer, new: SimServer) -> None:
    """At every millisecond, a write on the new leader and a read by lease on the old one."""
    for _ in range(700):
        if new in world.leaders():
            world.write(new)
        world.read_by_lease(old)
        world.run_until(world.now_ms + 1)


def follower_that_hears_nothing_stands(seed: int) -> None:
    """B does not hear the leader and stands; A still hears it until the moment at which it could vote for B."""
    world, leader, _, b = _leader_of_three(seed)
    world.network.cut.add((leader.id, b.id))
    _wait(world, lambda: b.raft is not None and b.raft.pre_voting)
    world.network.isolate(leader.id, list(world.servers))
    _new_leader_writes_while_the_old_one_reads(world, leader, b)


def leader_hands_over_and_is_cut_off(seed: int) -> None:
    """TimeoutNow is on its way when the old leader is cut off."""
    world, leader, _, b = _leader_of_three(seed)
    world.step(leader, TransferLeadership(b.id))
    # What was sent before the cut still arrives.
    world.network.isolate(leader.id, list(world.servers))
    _new_leader_writes_while_the_old_one_reads(world, leader, b)


SCENARIOS: tuple[Callable[[int], None], ...] = (follower_that_hears_nothing_stands, leader_hands_over_and_is_cut_off)
