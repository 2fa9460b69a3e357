"""Log matching (paper, figure 3; §5.3): logs with an entry of the same index and term are equal up to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class LogMatching(RaftInvariant):
    """Each (index, term) has one content and one predecessor; by induction that is the property."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, int], tuple[int, bytes, int | None]] = {}
        self._checked: dict[str, dict[int, int]] = {}

    def changed(self, world: World, life: Life) -> None:
        name, log = life.name, life.raft.log
        checked = self._checked.setdefault(name, {})
        index = log.last_index
        first = log.first_index
        while index >= first:
            term = log.term(index)
            assert term is not None
            if checked.get(index) == term:
                return
            checked[index] = term
            (entry,) = log.entries(index, index, 1, 1)
            previous = log.term(index - 1)
            kind, data, before = self._entries.setdefault((index, term), (entry.kind, entry.data, previous))
            if kind != entry.kind or data != entry.data:
                self.fail(f"{name}: two entries {index} of term {term}")
            if previous is not None and before is not None and before != previous:
                self.fail(f"{name}: entry {index} of term {term} has two predecessors")
            index -= 1
