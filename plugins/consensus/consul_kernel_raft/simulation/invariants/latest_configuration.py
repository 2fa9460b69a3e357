"""A server goes by the latest configuration in its log, committed or not (thesis §4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.consensus import Configuration
from consul_kernel_raft.core.entry import EntryKind, decode_configuration

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class LatestConfiguration(RaftInvariant):
    """The one in force is in the log; that none follows it is checked for entries that are new."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, Configuration | None]] = {}

    def changed(self, world: World, life: Life) -> None:
        log, known = life.raft.log, life.raft.configuration
        last_seen, term_seen, known_seen = self._seen.get(life.name, (0, 0, None))
        if known is known_seen and last_seen == log.last_index and term_seen == log.last_term:
            return
        last_index = log.last_index
        if known is not known_seen:
            self._compare(life, known)
        elif known.index > max(last_index, log.snapshot_index):
            self.fail(f"{life.name} goes by the configuration at {known.index}, which its log has not")
        first = max(log.first_index, min(last_seen, last_index), known.index + 1)
        for index in range(first, last_index + 1):
            (entry,) = log.entries(index, index, 1, 1)
            if entry.kind == EntryKind.CONFIGURATION:
                self.fail(f"{life.name} goes by the configuration at {known.index}, and there is one at {index}")
        self._seen[life.name] = (last_index, log.last_term, known)

    def _compare(self, life: Life, known: Configuration) -> None:
        log, at = life.raft.log, f"{life.name} goes by the configuration at {known.index}"
        self.require(known.index <= max(log.last_index, log.snapshot_index), f"{at}, which its log has not")
        if known.index < log.first_index:
            return
        (entry,) = log.entries(known.index, known.index, 1, 1)
        self.require(entry.kind == EntryKind.CONFIGURATION, f"{at}, where there is another entry")
        self.require(decode_configuration(entry.data, entry.index) == known, f"{at}, which is another one")
