"""Courses of events that random runs meet too rarely: the edges of the lease, and figure 8 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from consul_kernel.contracts.store import HardState, LogEntry
from consul_kernel_raft.core import ChangeConfiguration, TransferLeadership
from consul_kernel_raft.core.entry import EntryKind, encode_configuration
from consul_kernel_raft.core.messages import TimeoutNow

from .raft_world import LIMITS, SimServer, World


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


def leader_removes_itself_from_two(seed: int) -> None:
    """The voter that is left needs nobody's vote, and leads before the lease of the old leader would run out."""
    world = World(seed, servers=2, founders=2)
    _wait(world, lambda: any(server.raft and server.raft.lease_until_ms for server in world.leaders()))
    leader = world.leaders()[-1]
    other = next(server for server in world.servers.values() if server is not leader)
    world.write(leader)
    world.run_until(world.now_ms + 100)
    world.step(leader, ChangeConfiguration((other.server,)))
    world.network.cut.add((other.id, leader.id))
    _wait(world, lambda: other.raft is not None and other.raft.voters == {other.id})
    world.network.isolate(leader.id, list(world.servers))
    _new_leader_writes_while_the_old_one_reads(world, leader, other)


def disk_of_the_leader_hangs(seed: int) -> None:
    """It follows the protocol and writes nothing; the others go on without it, and it leads no more."""
    world, leader, _, _ = _leader_of_three(seed)
    leader.hangs_until_ms = world.now_ms + 60_000
    world.write(leader)
    finished = world.clients.finished_writes
    _wait(world, lambda: world.leaders() == [] or leader not in world.leaders(), within_ms=600)
    _wait(world, lambda: any(server.raft and server.raft.lease_until_ms for server in world.leaders()), within_ms=100)
    for _ in range(10):
        world.write(world.leaders()[-1])
        world.run_until(world.now_ms + 50)
    assert world.clients.finished_writes == finished + 10
    assert leader not in world.leaders()


def figure_8(seed: int) -> None:
    """An entry of term 2 is on a majority in term 4, and a leader of term 5 replaces it by one of term 3."""
    world = World(seed, founders=0, limits=replace(LIMITS, append_entries_max=1))
    world.slow_write_rate = 0.0
    s1, s2, s3, s4, s5 = world.servers.values()
    founding = encode_configuration([server.server for server in world.servers.values()])
    second = {s1.id: [LogEntry(2, 2, EntryKind.COMMAND, b"s1")], s5.id: [LogEntry(2, 3, EntryKind.COMMAND, b"s5")]}
    for server in world.servers.values():
        world.crash(server)
        server.disk.hard_state = HardState(4 if server is s5 else 3, "")
        server.disk.append([LogEntry(1, 1, EntryKind.CONFIGURATION, founding), *second.get(server.id, [])])
    for server in world.servers.values():
        world.start(server)
    for server in (s2, s5):
        world.network.isolate(server.id, list(world.servers))
    _stand(world, s1, 3)
    _wait(world, lambda: _cut_when_it_has_two(world, s1, (s3, s4)))
    world.run_until(world.now_ms + 20)
    world.crash(s1)
    world.network.heal()
    _stand(world, s5, 4)
    _wait(world, lambda: all(server.disk.term(2) == 3 for server in (s2, s3, s4)))


def _stand(world: World, server: SimServer, term: int) -> None:
    world.step(server, TimeoutNow(sender="", to=server.id, term=term))


def _cut_when_it_has_two(world: World, leader: SimServer, followers: Sequence[SimServer]) -> bool:
    """Cut the leader's way to each follower that has entry 2, before it gets entry 3; whether all have it."""
    having = [follower for follower in followers if follower.disk.last_index == 2]
    world.network.cut |= {(leader.id, follower.id) for follower in having}
    return len(having) == len(followers)


SCENARIOS: tuple[Callable[[int], None], ...] = (
    follower_that_hears_nothing_stands,
    leader_hands_over_and_is_cut_off,
    leader_removes_itself_from_two,
    disk_of_the_leader_hangs,
    figure_8,
)
