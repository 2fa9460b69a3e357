"""In calm nobody deposes a leader (thesis §4.2.3 and §9.6), not even a server that was removed and does not know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class Stability(RaftInvariant):
    def __init__(self) -> None:
        self._term = 0

    def changed(self, world: World, life: Life) -> None:
        if not world.settled:
            self._term = max(self._term, life.raft.term)
        elif life.raft.term > self._term:
            self.fail(f"in calm, {life.name} comes to term {life.raft.term} after {self._term}")
