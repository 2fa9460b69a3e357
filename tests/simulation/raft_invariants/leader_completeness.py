"""Leader completeness (paper, figure 3; §5.4): a committed entry is in the logs of all later leaders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel_raft.core import Raft

from .base import Invariant

if TYPE_CHECKING:
    from simulation.raft_world import SimServer, World


class LeaderCompleteness(Invariant):
    def __init__(self) -> None:
        self._committed: dict[int, tuple[int, int]] = {}
        """Index: the entry's term, and the term in which it was first known to be committed."""
        self._commit_seen: dict[tuple[str, int], int] = {}
        self._terms_checked: set[int] = set()

    def after_step(self, world: World, server: SimServer, raft: Raft) -> None:
        key = (server.id, server.life)
        log = raft.log
        for index in range(max(self._commit_seen.get(key, 0) + 1, log.first_index), raft.commit_index + 1):
            term = log.term(index)
            if term is None:
                continue
            known = self._committed.setdefault(index, (term, raft.term))
            self.require(known[0] == term, f"{server.id}: entry {index} was committed with term {known[0]}, not {term}")
        self._commit_seen[key] = raft.commit_index
        if raft.leadership is not None and raft.term not in self._terms_checked:
            self._terms_checked.add(raft.term)
            for index, (term, since) in self._committed.items():
                if since < raft.term:
                    here = log.term(index) if index <= log.last_index else -1
                    self.require(
                        here in (None, term), f"{server.id} leads term {raft.term} without committed entry {index}"
                    )
