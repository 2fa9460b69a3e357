"""Figure 8 of the paper, and snapshots that come late."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from consul_kernel.contracts.store import HardState, LogEntry
from consul_kernel.testing.simulation import Disk, ViolationError
from consul_kernel_raft.core import ChangeConfiguration, TransferLeadership
from consul_kernel_raft.core.entry import EntryKind, encode_configuration
from consul_kernel_raft.core.messages import AppendEntries, InstallSnapshot
from consul_kernel_raft.simulation.server import SimServer
from consul_kernel_raft.simulation.world import LIMITS, TIMING, World

from .raft_staging import cut, heal, isolate, leader_of_three, only_connect, quorum, stand, wait


def figure_8(seed: int) -> None:
    """An entry of term 2 is on a majority in term 4, and a leader of term 5 replaces it by one of term 3."""
    world = quorum(seed, 5, 0, replace(LIMITS, append_entries_max=1))
    s1, s2, s3, s4, s5 = world.servers.values()
    founding = encode_configuration([server.server for server in world.servers.values()])
    second = {s1.id: [LogEntry(2, 2, EntryKind.COMMAND, b"s1")], s5.id: [LogEntry(2, 3, EntryKind.COMMAND, b"s5")]}
    for server in world.servers.values():
        world.crash(server)
        server.storage.hard_state = HardState(4 if server is s5 else 3, "")
        for entry in [LogEntry(1, 1, EntryKind.CONFIGURATION, founding), *second.get(server.id, [])]:
            server.storage.append(entry)
    for server in world.servers.values():
        world.start(server)
    for server in (s2, s5):
        isolate(world, server)
    stand(world, s1, 3)
    wait(world, lambda: _cut_when_it_has_two(world, s1, (s3, s4)))
    world.timeline.run_for(20)
    world.crash(s1)
    heal(world)
    stand(world, s5, 4)
    wait(world, lambda: all(server.storage.term(2) == 3 for server in (s2, s3, s4)))


def _cut_when_it_has_two(world: World, leader: SimServer, followers: Sequence[SimServer]) -> bool:
    """Cut the leader's way to each follower that has entry 2, before it gets entry 3; whether all have it."""
    having = [follower for follower in followers if follower.storage.last_index == 2]
    world.network.cut([leader.id], [follower.id for follower in having])
    return len(having) == len(followers)


def snapshot_comes_late(seed: int) -> None:
    """A copy of a snapshot reaches a follower that has gone on from the first one."""
    world, leader, a, _ = leader_of_three(seed)
    world.snapshots.take(leader, 0)
    wait(world, lambda: leader.storage.newest is not None)
    snapshot = leader.storage.newest
    assert snapshot is not None
    for _ in range(5):
        world.write(leader)
        world.timeline.run_for(50)
    wait(world, lambda: a.machine.applied_index > snapshot.point.index + 3)
    assert leader.raft is not None
    message = InstallSnapshot(sender=leader.id, to=a.id, term=leader.raft.term, snapshot=snapshot.point)
    a.storage.save(snapshot, lambda: world.step(a, message))
    world.timeline.run_for(100)


def notice_of_a_commitment_is_lost(seed: int) -> None:
    """A follower is cut off for the moment in which it would be told; then nobody writes any more."""
    world, leader, a, _ = leader_of_three(seed)
    raft = leader.raft
    assert raft is not None
    world.write(leader)
    wait(world, lambda: raft.commit_index == raft.log.last_index and a.storage.last_index == raft.log.last_index)
    cut(world, leader, a)
    world.timeline.run_for(TIMING.commit_ms + 5)
    heal(world)
    wait(world, lambda: a.machine.applied_index == raft.log.last_index, 100, "a commitment becomes known")


def message_of_the_past_arrives_late(seed: int) -> None:
    """What a leader sent arrives when its successor's entry is committed, and a follower has not heard so (§5.1)."""
    world, old, a, b = leader_of_three(seed)
    assert old.raft is not None
    term, last = old.raft.term, old.raft.log.last_index
    world.step(old, TransferLeadership(a.id))
    # What was sent before the cut still arrives.
    isolate(world, old)
    wait(world, lambda: b.storage.last_index > last)
    cut(world, a, b)
    world.timeline.run_for(100)
    entry = LogEntry(last + 1, term, EntryKind.COMMAND, b"late")
    late = AppendEntries(
        sender=old.id, to=b.id, term=term, prev_index=last, prev_term=term, entries=(entry,), commit_index=last
    )
    world.step(b, late)
    world.timeline.run_for(50)
    world.crash(a)
    heal(world)
    wait(world, lambda: b in world.leaders())


def leader_forgets_what_one_follower_has(seed: int) -> None:
    """The leader's disk hangs when A gets an entry that B does not get; then its power fails, and A is cut off."""
    world, leader, a, b = leader_of_three(seed)
    leader.storage.log_disk.hang(60_000)
    cut(world, leader, b)
    world.write(leader)
    wait(world, lambda: a.storage.last_index == leader.running.raft.log.last_index)
    world.timeline.run_for(30)
    leader.storage.log_disk = Disk(world.timeline, random.Random(seed))  # nothing of the write remains
    world.crash(leader, power=True)
    only_connect(world, [leader, b])
    world.start(leader)
    wait(world, lambda: world.leaders() != [])
    world.write(world.leaders()[-1])
    world.timeline.run_for(100)


def former_leader_has_entries_of_its_own(seed: int) -> None:
    """Cut off, it appends commands and a change of the servers; its successor replaces them by other entries."""
    world, old, a, b = leader_of_three(seed, 4)
    isolate(world, old)
    for _ in range(3):
        world.write(old)
    world.step(old, ChangeConfiguration((*(server.server for server in (old, a, b)), world.servers["s4"].server)))
    world.write(old)
    last = old.running.raft.log.last_index
    assert old.running.raft.configuration.index == last - 1
    wait(world, lambda: old.storage.last_index == last)
    wait(world, lambda: a in world.leaders() or b in world.leaders())
    leader = next(server for server in world.leaders() if server is not old)
    for _ in range(8):
        world.write(leader)
        world.timeline.run_for(20)
    heal(world)
    wait(world, lambda: old.machine == leader.machine)
    if old.running.raft.configuration.get("s4") is not None:
        raise ViolationError("a configuration that was replaced is still in force")


SCENARIOS: tuple[Callable[[int], None], ...] = (
    figure_8,
    snapshot_comes_late,
    notice_of_a_commitment_is_lost,
    message_of_the_past_arrives_late,
    leader_forgets_what_one_follower_has,
    former_leader_has_entries_of_its_own,
)
