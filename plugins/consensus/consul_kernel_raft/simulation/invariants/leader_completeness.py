"""Leader completeness (paper, figure 3; §5.4): a committed entry is in the logs of all later leaders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class LeaderCompleteness(RaftInvariant):
    def __init__(self) -> None:
        self._committed: dict[int, tuple[int, int]] = {}
        """Index: the entry's term, and the term in which it was first known to be committed."""
        self._commit_seen: dict[tuple[str, int], int] = {}
        self._terms_checked: set[int] = set()

    def changed(self, world: World, life: Life) -> None:
        raft, log = life.raft, life.raft.log
        key = (life.name, life.number)
        for index in range(max(self._commit_seen.get(key, 0) + 1, log.first_index), raft.commit_index + 1):
            term = log.term(index)
            if term is None:
                continue
            known, _ = self._committed.setdefault(index, (term, raft.term))
            if known != term:
                self.fail(f"{life.name}: entry {index} was committed with term {known}, not {term}")
        self._commit_seen[key] = raft.commit_index
        if raft.leadership is not None and raft.term not in self._terms_checked:
            self._terms_checked.add(raft.term)
            self._check_leader(life)

    def _check_leader(self, life: Life) -> None:
        raft, log = life.raft, life.raft.log
        for index, (term, since) in self._committed.items():
            if since < raft.term:
                here = log.term(index) if index <= log.last_index else -1
                self.require(
                    here in (None, term), f"{life.name} leads term {raft.term} without committed entry {index}"
                )
