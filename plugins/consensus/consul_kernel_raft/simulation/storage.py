"""What one server holds durably: hard state, log and snapshots, on disks that tear and forget."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import HardState, LogEntry
from consul_kernel.testing.simulation import Change, Disk, Timeline, ViolationError
from consul_kernel_raft.core import Write
from consul_kernel_raft.core.messages import SnapshotPoint

from .machine import Machine

_SNAPSHOTS_KEPT = 3


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A durable snapshot: where it ends, and the state there."""

    point: SnapshotPoint
    state: Machine


class Storage:
    """Fulfils `LogReader` with what is durable. Log and snapshots have a disk each, as they are written side by side.

    The log's records are checksummed and chained, so that a torn write leaves a beginning of its records.
    """

    def __init__(self, timeline: Timeline, rng: random.Random) -> None:
        self.log_disk = Disk(timeline, rng)
        self.snapshot_disk = Disk(timeline, rng)
        self.hard_state = HardState()
        self.is_full = False
        """Whether there is no room for anything. Whoever writes has to look."""
        self.snapshots: list[StoredSnapshot] = []
        """The newest ones, oldest first."""
        self._stored: list[LogEntry] = []
        self._base = (0, 0)

    # --- what the algorithm reads ---

    @property
    def first_index(self) -> int:
        return self._base[0] + 1

    @property
    def last_index(self) -> int:
        return self._base[0] + len(self._stored)

    def term(self, index: int) -> int | None:
        base, term = self._base
        if index == base:
            return term
        position = index - base - 1
        return self._stored[position].term if 0 <= position < len(self._stored) else None

    def entries(self, first: int, last: int, max_bytes: int) -> Sequence[LogEntry]:
        base = self._base[0]
        if first <= base:
            raise StoreError(f"entry {first} is not kept")
        return self._stored[first - base - 1 : last - base]

    # --- writes ---

    def write(self, write: Write, done: Callable[[], object]) -> None:
        """Make a write durable, in the order that `Write` demands."""
        changes: list[Change] = []
        if write.hard_state is not None:
            changes.append(partial(self._set_hard_state, write.hard_state))
        if write.snapshot is not None:
            changes.append(partial(self.reset, write.snapshot.index, write.snapshot.term))
        if write.entries:
            changes.append(partial(self.truncate_from, write.entries[0].index))
            changes.extend(partial(self.append, entry) for entry in write.entries)
        self.log_disk.write(changes, done)

    def compact(self, index: int) -> None:
        """Forget entries up to this one, behind the writes that are under way."""
        self.log_disk.write([partial(self._forget, index)])

    def save(self, snapshot: StoredSnapshot, done: Callable[[], object]) -> None:
        """Make a snapshot durable. It appears whole or not at all: it is renamed when it has been flushed."""
        self.snapshot_disk.write([partial(self._keep, snapshot)], done)

    def crash(self) -> None:
        """Writes under way are torn and forgotten."""
        self.log_disk.crash()
        self.snapshot_disk.crash()

    # --- changes ---

    def _set_hard_state(self, hard_state: HardState) -> None:
        self.hard_state = hard_state

    def truncate_from(self, index: int) -> None:
        """Drop this entry and all behind it, where there are any. Raises ViolationError for a gap."""
        if not self._base[0] < index <= self.last_index + 1:
            raise ViolationError(f"an append at {index} does not join a log of {self.first_index} to {self.last_index}")
        del self._stored[index - self._base[0] - 1 :]

    def append(self, entry: LogEntry) -> None:
        """Add the next entry."""
        self._stored.append(entry)

    def reset(self, index: int, term: int) -> None:
        """Drop everything; the log goes on behind a snapshot that ends so."""
        self._stored.clear()
        self._base = (index, term)

    def _forget(self, index: int) -> None:
        index = min(index, self.last_index)
        if index >= self.first_index:
            term = self.term(index) or 0
            del self._stored[: index - self._base[0]]
            self._base = (index, term)

    def _keep(self, snapshot: StoredSnapshot) -> None:
        self.snapshots.append(snapshot)
        self.snapshots.sort(key=lambda kept: kept.point.index)
        del self.snapshots[:-_SNAPSHOTS_KEPT]

    # --- start ---

    @property
    def newest(self) -> StoredSnapshot | None:
        """The newest snapshot."""
        return self.snapshots[-1] if self.snapshots else None

    def find(self, snapshot_id: str) -> StoredSnapshot:
        """A snapshot by its name. Raises ViolationError when it is not kept."""
        for kept in self.snapshots:
            if kept.point.id == snapshot_id:
                return kept
        raise ViolationError(f"snapshot {snapshot_id} is not kept")

    def recover(self, machine: Machine) -> Machine:
        """Bring snapshot, log and state together, as `recovery.recover` does it; the state to go on with."""
        snapshot = self.newest
        if snapshot is None:
            return machine
        index, term = snapshot.point.index, snapshot.point.term
        goes_beyond = self.last_index < index or self.term(index) not in (None, term)
        if machine.applied_index < index and (goes_beyond or machine.applied_index + 1 < self.first_index):
            machine = snapshot.state.copy()
        if goes_beyond:
            self.reset(index, term)
        return machine
