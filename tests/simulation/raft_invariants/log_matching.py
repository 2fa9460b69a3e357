"""Log matching (paper, figure 3; §5.3): logs with an entry of the same index and term are equal up to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel_raft.core import Raft

from .base import Invariant

if TYPE_CHECKING:
    from simulation.raft_world import SimServer, World


class LogMatching(Invariant):
    """Each (index, term) has one content and one predecessor; by induction that is the property."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, int], tuple[int, bytes, int | None]] = {}
        self._checked: dict[str, dict[int, int]] = {}

    def after_step(self, world: World, server: SimServer, raft: Raft) -> None:
        log = raft.log
        checked = self._checked.setdefault(server.id, {})
        index = log.last_index
        while index >= log.first_index:
            term = log.term(index)
            assert term is not None
            if checked.get(index) == term:
                return
            checked[index] = term
            entry = log.entries(index, index, 1, 1)[0]
            previous = log.term(index - 1)
            known = self._entries.setdefault((index, term), (entry.kind, entry.data, previous))
            self.require(known[:2] == (entry.kind, entry.data), f"{server.id}: two entries {index} of term {term}")
            if previous is not None and known[2] is not None:
                self.require(known[2] == previous, f"{server.id}: entry {index} of term {term} has two predecessors")
            index -= 1
