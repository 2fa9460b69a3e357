"""Figure 8 of the paper, and snapshots that come late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from consul_kernel.contracts.store import HardState, LogEntry
from consul_kernel_raft.core import TransferLeadership
from consul_kernel_raft.core.entry import EntryKind, encode_configuration
from consul_kernel_raft.core.messages import AppendEntries, InstallSnapshot

from .raft_staging import leader_of_three, stand, wait
from .raft_world import LIMITS, TIMING, SimServer, World


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
    stand(world, s1, 3)
    wait(world, lambda: _cut_when_it_has_two(world, s1, (s3, s4)))
    world.run_until(world.now_ms + 20)
    world.crash(s1)
    world.network.heal()
    stand(world, s5, 4)
    wait(world, lambda: all(server.disk.term(2) == 3 for server in (s2, s3, s4)))


def _cut_when_it_has_two(world: World, leader: SimServer, followers: Sequence[SimServer]) -> bool:
    """Cut the leader's way to each follower that has entry 2, before it gets entry 3; whether all have it."""
    having = [follower for follower in followers if follower.disk.last_index == 2]
    world.network.cut |= {(leader.id, follower.id) for follower in having}
    return len(having) == len(followers)


def snapshot_comes_late(seed: int) -> None:
    """A copy of a snapshot reaches a follower that has gone on from the first one."""
    world, leader, a, _ = leader_of_three(seed)
    world.snapshot(leader, 0)
    wait(world, lambda: leader.disk.snapshot is not None)
    snapshot = leader.disk.snapshot
    assert snapshot is not None
    for _ in range(5):
        world.write(leader)
        world.run_until(world.now_ms + 50)
    wait(world, lambda: a.machine.applied_index > snapshot.point.index + 3)
    assert leader.raft is not None
    message = InstallSnapshot(sender=leader.id, to=a.id, term=leader.raft.term, snapshot=snapshot.point)
    a.disk.keep(snapshot)
    world.step(a, message)
    world.run_until(world.now_ms + 100)


def notice_of_a_commitment_is_lost(seed: int) -> None:
    """A follower is cut off for the moment in which it would be told; then nobody writes any more."""
    world, leader, a, _ = leader_of_three(seed)
    raft = leader.raft
    assert raft is not None
    world.write(leader)
    wait(world, lambda: raft.commit_index == raft.log.last_index and a.disk.last_index == raft.log.last_index)
    world.network.cut.add((leader.id, a.id))
    world.run_until(world.now_ms + TIMING.commit_ms + 5)
    world.network.heal()
    wait(world, lambda: a.machine.applied_index == raft.log.last_index, within_ms=100)


def message_of_the_past_arrives_late(seed: int) -> None:
    """What a leader sent arrives when its successor's entry is committed, and a follower has not heard so (§5.1)."""
    world, old, a, b = leader_of_three(seed)
    assert old.raft is not None
    term, last = old.raft.term, old.raft.log.last_index
    world.step(old, TransferLeadership(a.id))
    # What was sent before the cut still arrives.
    world.network.isolate(old.id, list(world.servers))
    wait(world, lambda: b.disk.last_index > last)
    world.network.cut.add((a.id, b.id))
    world.run_until(world.now_ms + 100)
    entry = LogEntry(last + 1, term, EntryKind.COMMAND, b"late")
    late = AppendEntries(
        sender=old.id, to=b.id, term=term, prev_index=last, prev_term=term, entries=(entry,), commit_index=last
    )
    world.step(b, late)
    world.run_until(world.now_ms + 50)
    world.crash(a)
    world.network.heal()
    wait(world, lambda: b in world.leaders())


SCENARIOS: tuple[Callable[[int], None], ...] = (
    figure_8,
    snapshot_comes_late,
    notice_of_a_commitment_is_lost,
    message_of_the_past_arrives_late,
)
