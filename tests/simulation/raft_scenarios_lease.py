"""The edges of the lease: whoever is elected while it runs can make its holder's reads stale (thesis §6.4.1)."""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel_raft.core import ChangeConfiguration, TransferLeadership

from .raft_staging import leader_of_three, wait, wait_for_lease
from .raft_world import SimServer, World


def _new_leader_writes_while_the_old_one_reads(world: World, old: SimServer, new: SimServer) -> None:
    """At every millisecond, a write on the new leader and a read by lease on the old one."""
    for _ in range(700):
        if new in world.leaders():
            world.write(new)
        world.read_by_lease(old)
        world.run_until(world.now_ms + 1)


def follower_that_hears_nothing_stands(seed: int) -> None:
    """B does not hear the leader and stands; A still hears it until the moment at which it could vote for B."""
    world, leader, _, b = leader_of_three(seed)
    world.network.cut.add((leader.id, b.id))
    wait(world, lambda: b.raft is not None and b.raft.pre_voting)
    world.network.isolate(leader.id, list(world.servers))
    _new_leader_writes_while_the_old_one_reads(world, leader, b)


def leader_hands_over_and_is_cut_off(seed: int) -> None:
    """TimeoutNow is on its way when the old leader is cut off."""
    world, leader, _, b = leader_of_three(seed)
    world.step(leader, TransferLeadership(b.id))
    # What was sent before the cut still arrives.
    world.network.isolate(leader.id, list(world.servers))
    _new_leader_writes_while_the_old_one_reads(world, leader, b)


def leader_removes_itself_from_two(seed: int) -> None:
    """The voter that is left needs nobody's vote, and leads before the lease of the old leader would run out."""
    world = World(seed, servers=2, founders=2)
    leader = wait_for_lease(world)
    other = next(server for server in world.servers.values() if server is not leader)
    world.write(leader)
    world.run_until(world.now_ms + 100)
    world.step(leader, ChangeConfiguration((other.server,)))
    world.network.cut.add((other.id, leader.id))
    wait(world, lambda: other.raft is not None and other.raft.voters == {other.id})
    world.network.isolate(leader.id, list(world.servers))
    _new_leader_writes_while_the_old_one_reads(world, leader, other)


def disk_of_the_leader_hangs(seed: int) -> None:
    """It follows the protocol and writes nothing; the others go on without it, and it leads no more."""
    world, leader, _, _ = leader_of_three(seed)
    leader.hangs_until_ms = world.now_ms + 60_000
    world.write(leader)
    finished = world.clients.finished_writes
    wait(world, lambda: world.leaders() == [] or leader not in world.leaders(), within_ms=600)
    wait_for_lease(world, within_ms=100)
    for _ in range(10):
        world.write(world.leaders()[-1])
        world.run_until(world.now_ms + 50)
    # The write to the leader that hangs may have reached the others: then it is done as well.
    assert world.clients.finished_writes - finished in (10, 11)
    assert leader not in world.leaders()


def follower_restarts_while_the_lease_runs(seed: int) -> None:
    """B has just answered the leader; restarted, it must not help A, which hears nobody, to power at once."""
    world, leader, a, b = leader_of_three(seed)
    world.network.cut.add((leader.id, a.id))
    wait(world, lambda: a.raft is not None and a.raft.pre_voting)
    assert a.raft is not None
    assert a.raft.election_deadline_ms is not None
    world.run_until(a.world_ms(a.raft.election_deadline_ms) - 5)  # then A asks again
    world.crash(b)
    world.network.isolate(leader.id, list(world.servers))
    world.start(b)
    _new_leader_writes_while_the_old_one_reads(world, leader, a)


def answers_come_late(seed: int) -> None:
    """The followers have long forgotten the heartbeats whose answers reach the leader now."""
    world, leader, a, b = leader_of_three(seed)
    world.network.extra_ms = {(a.id, leader.id): 150, (b.id, leader.id): 150}
    world.run_until(world.now_ms + 300)
    world.network.cut |= {(leader.id, a.id), (leader.id, b.id)}
    for _ in range(700):
        for other in (a, b):
            if other in world.leaders():
                world.write(other)
        world.read_by_lease(leader)
        world.run_until(world.now_ms + 1)


SCENARIOS: tuple[Callable[[int], None], ...] = (
    follower_that_hears_nothing_stands,
    leader_hands_over_and_is_cut_off,
    leader_removes_itself_from_two,
    follower_restarts_while_the_lease_runs,
    answers_come_late,
    disk_of_the_leader_hangs,
)
