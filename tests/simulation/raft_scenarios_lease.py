"""The edges of the lease: whoever is elected while it runs can make its holder's reads stale (thesis §6.4.1)."""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel_raft.core import ChangeConfiguration, TransferLeadership
from consul_kernel_raft.simulation.server import SimServer
from consul_kernel_raft.simulation.world import TIMING, World

from .raft_staging import cut, isolate, leader_of_three, quorum, wait, wait_for_lease


def _new_leader_writes_while_the_old_one_reads(world: World, old: SimServer, new: SimServer) -> None:
    """At every millisecond, a write on the new leader and a read by lease on the old one."""
    for _ in range(700):
        if new in world.leaders():
            world.write(new)
        world.read_by_lease(old)
        world.timeline.run_for(1)


def follower_that_hears_nothing_stands(seed: int) -> None:
    """B does not hear the leader and stands; A still hears it until the moment at which it could vote for B."""
    world, leader, _, b = leader_of_three(seed)
    cut(world, leader, b)
    wait(world, lambda: b.raft is not None and b.raft.pre_voting)
    isolate(world, leader)
    _new_leader_writes_while_the_old_one_reads(world, leader, b)


def leader_hands_over_and_is_cut_off(seed: int) -> None:
    """TimeoutNow and heartbeats are on their way when the old leader is cut off; it still hears A's answers."""
    world, leader, _, b = leader_of_three(seed)
    leadership = leader.running.raft.leadership
    assert leadership is not None
    wait(world, lambda: leadership.heartbeat_at_ms >= leader.running.now_ms() + TIMING.heartbeat_interval_ms - 1)
    world.step(leader, TransferLeadership(b.id))
    # What was sent before the cut still arrives.
    world.network.cut([leader.id], None)
    cut(world, b, leader)
    _new_leader_writes_while_the_old_one_reads(world, leader, b)


def leader_removes_itself_from_two(seed: int) -> None:
    """The voter that is left needs nobody's vote, and leads before the lease of the old leader would run out."""
    world = quorum(seed, 2, 2)
    leader = wait_for_lease(world)
    other = next(server for server in world.servers.values() if server is not leader)
    world.write(leader)
    world.timeline.run_for(100)
    world.step(leader, ChangeConfiguration((other.server,)))
    cut(world, other, leader)
    wait(world, lambda: other.raft is not None and other.raft.voters == {other.id})
    isolate(world, leader)
    _new_leader_writes_while_the_old_one_reads(world, leader, other)


def disk_of_the_leader_hangs(seed: int) -> None:
    """It follows the protocol and writes nothing; the others go on without it, and it leads no more."""
    world, leader, _, _ = leader_of_three(seed)
    leader.storage.log_disk.hang(60_000)
    world.write(leader)
    finished = world.clients.writes
    wait(world, lambda: leader not in world.leaders(), 600, "the leader whose disk hangs gives way")
    wait_for_lease(world, within_ms=100)
    for _ in range(10):
        world.write(world.leaders()[-1])
        world.timeline.run_for(50)
    # The write to the leader that hangs may have reached the others: then it is done as well.
    assert world.clients.writes - finished in (10, 11)
    assert leader not in world.leaders()


def follower_restarts_while_the_lease_runs(seed: int) -> None:
    """B has just answered the leader; restarted, it must not help A, which hears nobody, to power at once."""
    world, leader, a, b = leader_of_three(seed)
    cut(world, leader, a)
    wait(world, lambda: a.raft is not None and a.raft.pre_voting)
    assert a.raft is not None
    assert a.raft.election_deadline_ms is not None
    world.timeline.run_until(a.clock.world_ms(a.raft.election_deadline_ms) - 5)  # then A asks again
    world.crash(b)
    isolate(world, leader)
    world.start(b)
    _new_leader_writes_while_the_old_one_reads(world, leader, a)


def answers_come_late(seed: int) -> None:
    """The followers have long forgotten the heartbeats whose answers reach the leader now."""
    world, leader, a, b = leader_of_three(seed)
    world.network.lag([a.id, b.id], [leader.id], 150)
    world.timeline.run_for(300)
    world.network.cut([leader.id], [a.id, b.id])
    for _ in range(700):
        for other in (a, b):
            if other in world.leaders():
                world.write(other)
        world.read_by_lease(leader)
        world.timeline.run_for(1)


def former_leader_is_asked_to_read(seed: int) -> None:
    """It was cut off and does not know of its successor; clients ask it with a round of heartbeats, not by lease."""
    world, old, a, b = leader_of_three(seed)
    isolate(world, old)
    for _ in range(700):
        for other in (a, b):
            if other in world.leaders():
                world.write(other)
        world.read(old)
        world.timeline.run_for(1)


SCENARIOS: tuple[Callable[[int], None], ...] = (
    follower_that_hears_nothing_stands,
    leader_hands_over_and_is_cut_off,
    leader_removes_itself_from_two,
    follower_restarts_while_the_lease_runs,
    answers_come_late,
    former_leader_is_asked_to_read,
    disk_of_the_leader_hangs,
)
