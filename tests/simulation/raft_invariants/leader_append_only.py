"""Leader append-only (paper, figure 3; §5.3): a leader never overwrites or deletes entries in its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel_raft.core import Raft

from .base import Invariant

if TYPE_CHECKING:
    from simulation.raft_world import SimServer, World


class LeaderAppendOnly(Invariant):
    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, int, int]] = {}

    def after_step(self, world: World, server: SimServer, raft: Raft) -> None:
        if raft.leadership is None:
            self._seen.pop(server.id, None)
            return
        log = raft.log
        before = self._seen.get(server.id)
        if before is not None and before[:2] == (server.life, raft.term):
            _, _, last_index, last_term = before
            self.require(log.last_index >= last_index, f"{server.id} leads and its log got shorter")
            term = log.term(last_index)
            self.require(term in (None, last_term), f"{server.id} leads and entry {last_index} changed")
        self._seen[server.id] = (server.life, raft.term, log.last_index, log.last_term)
