"""A simulated server's disk: what a finished write has put there survives a crash, one under way may be torn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import HardState, LogEntry
from consul_kernel_raft.core import Write
from consul_kernel_raft.core.messages import SnapshotPoint

Commands = tuple[tuple[int, bytes], ...]


@dataclass(slots=True)
class Machine:
    """A register: its value is the last command; `commands` are kept for the comparison of servers."""

    commands: list[tuple[int, bytes]] = field(default_factory=list)
    applied_index: int = 0

    @property
    def version(self) -> int:
        """The index of the write that a read sees."""
        return self.commands[-1][0] if self.commands else 0


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A durable snapshot: where it ends and the commands up to there."""

    point: SnapshotPoint
    commands: Commands


class Disk:
    """The synchronous part of a LogStore, over what is durable."""

    def __init__(self) -> None:
        self.hard_state = HardState()
        self.snapshot: StoredSnapshot | None = None
        self._stored: list[LogEntry] = []
        self._base = (0, 0)

    @property
    def first_index(self) -> int:
        return self._base[0] + 1

    @property
    def last_index(self) -> int:
        return self._base[0] + len(self._stored)

    def term(self, index: int) -> int | None:
        if index == self._base[0]:
            return self._base[1]
        position = index - self.first_index
        return self._stored[position].term if 0 <= position < len(self._stored) else None

    def entries(self, first: int, last: int, max_bytes: int) -> Sequence[LogEntry]:
        if first < self.first_index:
            raise StoreError(f"entry {first} is not kept")
        return self._stored[first - self.first_index : last - self._base[0]]

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Entries that join the log or replace its end."""
        if entries:
            assert self._base[0] < entries[0].index <= self.last_index + 1, "an append does not join the log"
            del self._stored[entries[0].index - self.first_index :]
            self._stored.extend(entries)

    def finish(self, write: Write) -> None:
        """The whole write is durable."""
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.snapshot is not None:
            self.reset(write.snapshot.index, write.snapshot.term)
        self.append(write.entries)

    def tear(self, write: Write, rng: random.Random) -> None:
        """A crash during the write: any beginning of it may have become durable."""
        if write.hard_state is not None:
            if rng.random() < 0.5:
                return
            self.hard_state = write.hard_state
        if write.snapshot is not None:
            if rng.random() < 0.5:
                return
            self.reset(write.snapshot.index, write.snapshot.term)
        self.append(write.entries[: rng.randint(0, len(write.entries))])

    def compact(self, index: int) -> None:
        index = min(index, self.last_index)
        if index >= self.first_index:
            term = self.term(index) or 0
            del self._stored[: index - self._base[0]]
            self._base = (index, term)

    def reset(self, index: int, term: int) -> None:
        self._stored.clear()
        self._base = (index, term)

    def keep(self, snapshot: StoredSnapshot) -> None:
        """A snapshot is durable; the newest one is kept."""
        if self.snapshot is None or snapshot.point.index > self.snapshot.point.index:
            self.snapshot = snapshot

    def recover(self, machine: Machine) -> None:
        """What a server does before it takes part: join snapshot, log and state."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        point = snapshot.point
        loses_log = self.last_index < point.index or self.term(point.index) not in (None, point.term)
        if machine.applied_index < point.index and (loses_log or machine.applied_index + 1 < self.first_index):
            machine.commands = list(snapshot.commands)
            machine.applied_index = point.index
        if loses_log:
            self.reset(point.index, point.term)
