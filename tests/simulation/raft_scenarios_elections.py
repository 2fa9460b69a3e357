"""Elections that must not have two winners, or must not be."""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel_raft.core import ChangeConfiguration

from .raft_staging import heal, isolate, leader_of_three, quorum, stand, wait, wait_for_lease


def two_stand_at_once(seed: int) -> None:
    """A and B stand for the same term, and the former leader has one vote for it (§5.2)."""
    world, leader, a, b = leader_of_three(seed)
    term = leader.running.raft.term
    stand(world, a, term)
    stand(world, b, term)
    wait(world, lambda: len({server.running.raft.term for server in world.alive}) == 1 and world.leaders() != [])
    world.timeline.run_for(500)


def removed_server_does_not_know(seed: int) -> None:
    """B was cut off when it was removed. It stands again and again, and nobody minds (thesis §4.2.3 and §9.6)."""
    world, leader, a, b = leader_of_three(seed)
    isolate(world, b)
    world.step(leader, ChangeConfiguration((leader.server, a.server)))
    wait(world, lambda: a.running.raft.commit_index == leader.running.raft.log.last_index)
    heal(world)
    world.settled = True
    world.timeline.run_for(2_000)
    assert b.running.raft.pre_voting
    world.watch.check_rest()


def single_voter_has_no_room(seed: int) -> None:
    """It stands after a restart, and its disk is full; there is room later, and it goes on."""
    world = quorum(seed, 1, 1)
    server = wait_for_lease(world)
    world.crash(server)
    server.storage.is_full = True
    world.start(server)
    world.timeline.run_for(3_000)
    assert world.leaders() == []
    server.storage.is_full = False
    wait(world, lambda: world.leaders() == [server])


SCENARIOS: tuple[Callable[[int], None], ...] = (
    two_stand_at_once,
    removed_server_does_not_know,
    single_voter_has_no_room,
)
