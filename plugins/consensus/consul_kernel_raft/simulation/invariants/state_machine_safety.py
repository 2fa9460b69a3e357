"""State machine safety (paper, figure 3; §5.4.3): no two servers apply different entries at one index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.store import LogEntry

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class StateMachineSafety(RaftInvariant):
    """Also: entries are applied in order, each once, and only when they are durable here."""

    def __init__(self) -> None:
        self._applied: dict[int, tuple[int, int, bytes]] = {}

    def started(self, world: World, life: Life) -> None:
        storage, machine = life.server.storage, life.server.machine
        ends = max(storage.last_index, storage.newest.point.index if storage.newest else 0)
        at = f"{life.name} starts with a state at {machine.applied_index}"
        self.require(machine.applied_index <= ends, f"{at}, and its log ends at {ends}")
        self.require(machine.applied_index + 1 >= storage.first_index, f"{at}, its log begins at {storage.first_index}")

    def applying(self, world: World, life: Life, entry: LogEntry) -> None:
        known = self._applied.setdefault(entry.index, (entry.term, entry.kind, entry.data))
        before = life.server.machine.applied_index
        if known != (entry.term, entry.kind, entry.data):
            self.fail(f"{life.name} applies {entry.index}, and another server another entry")
        if before != entry.index - 1:
            self.fail(f"{life.name} applies {entry.index} after {before}")
        if life.server.storage.term(entry.index) != entry.term:
            self.fail(f"{life.name} applies {entry.index}, which is not durable")

    def changed(self, world: World, life: Life) -> None:
        raft, applied = life.raft, life.server.machine.applied_index
        if raft.log.pending_snapshot is None and raft.applied_index != applied:
            self.fail(f"{life.name} applied {applied}, not {raft.applied_index}")
