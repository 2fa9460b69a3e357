"""Election safety (paper, figure 3; §5.2): at most one leader is elected in a given term."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class ElectionSafety(RaftInvariant):
    def __init__(self) -> None:
        self._leaders: dict[int, str] = {}

    def changed(self, world: World, life: Life) -> None:
        if life.raft.leadership is not None:
            leader = self._leaders.setdefault(life.raft.term, life.name)
            if leader != life.name:
                self.fail(f"{leader} and {life.name} lead in term {life.raft.term}")
