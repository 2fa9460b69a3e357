"""State machine safety (paper, figure 3; §5.4.3): no two servers apply different entries at one index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.store import LogEntry
from consul_kernel_raft.core import Raft

from .base import Invariant

if TYPE_CHECKING:
    from simulation.raft_world import SimServer, World


class StateMachineSafety(Invariant):
    """Also: entries are applied in order, each once, and only when they are durable here."""

    def __init__(self) -> None:
        self._applied: dict[int, tuple[int, int, bytes]] = {}

    def on_apply(self, world: World, server: SimServer, entry: LogEntry) -> None:
        at = f"{server.id} applies {entry.index}"
        known = self._applied.setdefault(entry.index, (entry.term, entry.kind, entry.data))
        self.require(known == (entry.term, entry.kind, entry.data), f"{at}, and another server another entry")
        self.require(server.machine.applied_index == entry.index - 1, f"{at} after {server.machine.applied_index}")
        self.require(server.disk.term(entry.index) == entry.term, f"{at}, which is not durable")

    def after_step(self, world: World, server: SimServer, raft: Raft) -> None:
        if raft.log.pending_snapshot is None:
            applied = server.machine.applied_index
            self.require(raft.applied_index == applied, f"{server.id} applied {applied}, not {raft.applied_index}")
