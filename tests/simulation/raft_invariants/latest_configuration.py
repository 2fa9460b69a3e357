"""A server goes by the latest configuration in its log, committed or not (thesis §4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.consensus import Configuration
from consul_kernel_raft.core import Raft
from consul_kernel_raft.core.entry import EntryKind, decode_configuration

from .base import Invariant

if TYPE_CHECKING:
    from simulation.raft_world import SimServer, World


class LatestConfiguration(Invariant):
    """The one in force is in the log; that none follows it is checked for entries that are new."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, Configuration]] = {}

    def after_step(self, world: World, server: SimServer, raft: Raft) -> None:
        log, known = raft.log, raft.configuration
        last_seen, term_seen, known_seen = self._seen.get(server.id, (0, 0, None))
        if known is known_seen and last_seen == log.last_index and term_seen == log.last_term:
            return
        at = f"{server.id} goes by the configuration at {known.index}"
        self.require(known.index <= max(log.last_index, log.snapshot_index), f"{at}, which its log has not")
        if known.index >= log.first_index:
            (entry,) = log.entries(known.index, known.index, 1, 1)
            self.require(entry.kind == EntryKind.CONFIGURATION, f"{at}, where there is another entry")
            self.require(decode_configuration(entry.data, entry.index) == known, f"{at}, which is another one")
        first = max(log.first_index, min(last_seen, log.last_index), known.index + 1)
        for index in range(first, log.last_index + 1):
            (entry,) = log.entries(index, index, 1, 1)
            self.require(entry.kind != EntryKind.CONFIGURATION, f"{at}, and there is one at {index}")
        self._seen[server.id] = (log.last_index, log.last_term, known)
