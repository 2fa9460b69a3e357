"""Snapshots of the simulated servers: taken, and carried from one to another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from consul_kernel_raft.core import SnapshotFailed, SnapshotSaved
from consul_kernel_raft.core.messages import InstallSnapshot, InstallSnapshotResponse, SnapshotPoint

from .server import Life, SimServer
from .storage import StoredSnapshot

if TYPE_CHECKING:
    from .world import World

_TRANSFER_MS = (5, 60)
_TIMEOUT_MS = 400


class Snapshots:
    """What `snapshotter.Snapshotter` does: at most one is under way from one server to another."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._names = 0
        self._transfers = 0
        self.taken = 0
        self.arrived = 0

    def _name(self, server: SimServer, index: int) -> str:
        self._names += 1
        return f"{server.id}-{index}-{self._names}"

    def take(self, server: SimServer, trailing: int) -> None:
        """Snapshot what a server has applied; then its log is compacted but for some entries."""
        life, machine = server.life, server.machine
        if life is None or life.raft.log.pending_snapshot is not None or server.storage.is_full:
            return
        raft, index = life.raft, machine.applied_index
        term = raft.log.term(index)
        if index == 0 or term is None or index <= raft.log.snapshot_index:
            return
        point = SnapshotPoint(
            id=self._name(server, index), index=index, term=term, configuration=raft.configurations.at(index)
        )
        server.storage.save(StoredSnapshot(point, machine.copy()), partial(self._taken, life, point, trailing))

    def _taken(self, life: Life, point: SnapshotPoint, trailing: int) -> None:
        self.taken += 1
        life.give(SnapshotSaved(point))
        life.server.storage.compact(min(point.index, life.raft.log.last_index - trailing))

    # --- to another server ---

    def send(self, life: Life, message: InstallSnapshot) -> None:
        """Send the newest snapshot. However that ends, the algorithm is told that it ended."""
        if message.to in life.transfers:
            return  # the one under way reports
        self._transfers += 1
        number = life.transfers[message.to] = self._transfers
        world, snapshot = self._world, life.server.storage.newest
        delays_ms = world.network.delays_ms(message.sender, message.to)
        if snapshot is None or not delays_ms:
            world.timeline.after(world.rng.randint(1, 100), self._ended, life, message.to, number)
            return
        delay_ms = delays_ms[0] + world.rng.randint(*_TRANSFER_MS)
        world.timeline.after(delay_ms, self._arrived, message, snapshot)
        world.timeline.after(_TIMEOUT_MS, self._ended, life, message.to, number)

    def _arrived(self, message: InstallSnapshot, snapshot: StoredSnapshot) -> None:
        """The receiver keeps it under a name of its own, and is told when it is durable."""
        target = self._world.servers[message.to]
        if target.life is None or target.storage.is_full:
            return
        self.arrived += 1
        point = replace(snapshot.point, id=self._name(target, snapshot.point.index))
        received = partial(target.life.give, replace(message, snapshot=point))
        target.storage.save(StoredSnapshot(point, snapshot.state), received)

    def answered(self, message: InstallSnapshotResponse) -> None:
        """The answer reaches whoever sent the snapshot, or somebody who leads after it."""
        life = self._world.servers[message.to].life
        if life is None:
            return
        life.give(message)
        number = life.transfers.get(message.sender)
        if number is not None:
            self._ended(life, message.sender, number)

    def _ended(self, life: Life, target: str, number: int) -> None:
        if life.transfers.get(target) == number:
            del life.transfers[target]
            life.give(SnapshotFailed(target))
