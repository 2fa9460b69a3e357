"""Leader append-only (paper, figure 3; §5.3): a leader never overwrites or deletes entries in its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class LeaderAppendOnly(RaftInvariant):
    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, int, int]] = {}

    def changed(self, world: World, life: Life) -> None:
        raft, log = life.raft, life.raft.log
        if raft.leadership is None:
            self._seen.pop(life.name, None)
            return
        before = self._seen.get(life.name)
        if before is not None and before[:2] == (life.number, raft.term):
            _, _, last_index, last_term = before
            if log.last_index < last_index:
                self.fail(f"{life.name} leads and its log got shorter")
            if log.term(last_index) not in (None, last_term):
                self.fail(f"{life.name} leads and entry {last_index} changed")
        self._seen[life.name] = (life.number, raft.term, log.last_index, log.last_term)
