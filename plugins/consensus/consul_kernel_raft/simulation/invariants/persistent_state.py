"""What is persistent only grows (paper, figure 2): terms do not fall, in one term a vote is given once, and what a
server committed or applied in one life stays so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.store import HardState

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class PersistentState(RaftInvariant):
    def __init__(self) -> None:
        self._durable: dict[str, HardState] = {}
        self._volatile: dict[str, tuple[int, int, int, int]] = {}

    def started(self, world: World, life: Life) -> None:
        self._check_hard_state(life)

    def changed(self, world: World, life: Life) -> None:
        self._check_hard_state(life)
        raft = life.raft
        number, term, commit_index, applied_index = self._volatile.get(life.name, (0, 0, 0, 0))
        if number == life.number:
            if raft.term < term:
                self.fail(f"{life.name} goes back from term {term} to {raft.term}")
            if raft.commit_index < commit_index:
                self.fail(f"{life.name} takes back what it committed")
            if raft.applied_index < applied_index:
                self.fail(f"{life.name} takes back what it applied")
        if raft.commit_index > raft.log.last_index:
            self.fail(f"{life.name} committed more than it has")
        self._volatile[life.name] = (life.number, raft.term, raft.commit_index, raft.applied_index)

    def _check_hard_state(self, life: Life) -> None:
        known, now = self._durable.get(life.name), life.server.storage.hard_state
        if known is now:
            return
        if known is not None:
            self.require(now.term >= known.term, f"{life.name} forgets term {known.term}")
            if now.term == known.term:
                kept = known.vote in ("", now.vote)
                self.require(kept, f"{life.name} votes for {known.vote} and {now.vote} in term {now.term}")
        self._durable[life.name] = now
