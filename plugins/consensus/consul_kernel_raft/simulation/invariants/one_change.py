"""One server at a time (thesis §4.1): a majority of each configuration meets every majority of the next.

That needs the one before to be committed, and an entry of the leader's own term, lest two leaders change at once
(raft-dev, July 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.consensus import Configuration
from consul_kernel_raft.core.tracker import voter_ids

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class OneChange(RaftInvariant):
    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, int], tuple[Configuration, int]] = {}
        """Of each leader, by its name, life and term: the last configuration, and what was committed by then."""

    def changed(self, world: World, life: Life) -> None:
        raft, leadership = life.raft, life.raft.leadership
        if leadership is None:
            return
        key = (life.name, life.number, raft.term)
        before, committed = self._seen.get(key, (raft.configuration, 0))
        if before is not raft.configuration:
            at = f"{life.name} changes the servers at {raft.configuration.index}"
            self.require(before.index <= committed, f"{at}, and the change at {before.index} is not committed")
            self.require(leadership.term_start_index <= committed, f"{at}, and nothing of its term is committed")
            differing = voter_ids(before) ^ voter_ids(raft.configuration)
            self.require(len(differing) <= 1, f"{at} by {len(differing)} voters")
        self._seen[key] = (raft.configuration, raft.commit_index)
