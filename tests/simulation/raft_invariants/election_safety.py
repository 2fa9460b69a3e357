"""Election safety (paper, figure 3; §5.2): at most one leader is elected in a given term."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel_raft.core import Raft

from .base import Invariant

if TYPE_CHECKING:
    from simulation.raft_world import SimServer, World


class ElectionSafety(Invariant):
    def __init__(self) -> None:
        self._leaders: dict[int, str] = {}

    def after_step(self, world: World, server: SimServer, raft: Raft) -> None:
        if raft.leadership is not None:
            leader = self._leaders.setdefault(raft.term, server.id)
            self.require(leader == server.id, f"{leader} and {server.id} lead in term {raft.term}")
