"""The replicated state machine: what the log of commands amounts to, on any `StateStore`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from consul_kernel.contracts.errors import ConsulKernelError, RequestError
from consul_kernel.contracts.metrics import NO_METRICS, Metrics
from consul_kernel.contracts.store import SnapshotSource, StateStore

from .catalog import Catalog
from .command_times import CommandTimes
from .commands import apply_command
from .config_entries import ConfigEntries
from .coordinates import Coordinates
from .generations import (
    NOTES_TABLE,
    STAGED_PREFIX,
    CurrentReader,
    Generations,
    TableNames,
    has_waste,
    remove_waste,
    unused_generation,
)
from .keys import pack_index, unpack_index
from .kv import KeyValues
from .lock_delays import LockDelays
from .machine_table import index_offset
from .prepared_queries import PreparedQueries
from .restore import restore_under_way
from .sessions import Sessions
from .snapshot import FrozenState, MachineSnapshot, SnapshotReader
from .tombstones import tombstones_index
from .transaction import Transaction
from .watches import Watches

_APPLIED = b"applied_index"


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class OutOfOrderError(ConsulKernelError):
    """Consensus handed over an entry that was applied before: the order it promised is broken."""


class ReplicatedState:
    """The contract's `StateMachine`, and where endpoints read.

    `kv`, `catalog`, `coordinates`, `sessions`, `queries` and `config_entries` answer from the last completed batch;
    `watches` tells when to ask again. Reads are synchronous and run in the event loop that applies commands, so one
    never sees half a batch. Time has no part in what the state becomes; `now_ms` is only for `lock_delays`.
    """

    def __init__(
        self, store: StateStore, now_ms: Callable[[], int] = _monotonic_ms, metrics: Metrics = NO_METRICS
    ) -> None:
        self._store = store
        self._times = CommandTimes(metrics)
        self._generations = Generations.load(store)
        self._loading: frozenset[int] = frozenset()
        self.reader = CurrentReader(store, TableNames(self._generations.current))
        """The tables of the last completed batch."""
        self._offset = index_offset(self.reader)
        self.watches = Watches()
        self.kv = KeyValues(self.reader)
        self.catalog = Catalog(self.reader)
        self.coordinates = Coordinates(self.reader)
        self.sessions = Sessions(self.reader)
        self.queries = PreparedQueries(self.reader)
        self.config_entries = ConfigEntries(self.reader)
        self.lock_delays = LockDelays(now_ms)
        applied = store.get(NOTES_TABLE, _APPLIED)
        self._applied_index = 0 if applied is None else unpack_index(applied)
        self.waste = asyncio.Event()
        """Set while there may be rows of a state that was replaced, for `remove_waste`."""
        if has_waste(store, self._kept):
            self.waste.set()

    @property
    def applied_index(self) -> int:
        """Log index of the last entry that was applied or passed."""
        return self._applied_index

    @property
    def index(self) -> int:
        """The state's own index: that of the log, and what it is ahead since an archive was restored."""
        return self._applied_index + self._offset

    # --- commands ---

    def apply(self, entries: Sequence[tuple[int, bytes]]) -> Sequence[object]:
        """Apply commands in one batch with the index they reach; then wake who waits for what they touched.

        A refused command gives the RequestError that says why, and leaves no trace.
        """
        if not entries:
            return []
        if entries[0][0] <= self._applied_index or self._loading:
            raise OutOfOrderError(f"entry {entries[0][0]} after {self._applied_index}")
        results: list[object] = []
        with self._store.write() as writer:
            transaction = Transaction(writer, self._generations, self._offset, self.reader.names)
            for index, command in entries:
                transaction.begin(index)
                try:
                    results.append(apply_command(transaction, command, self._times))
                except RequestError as error:
                    transaction.rollback()
                    results.append(error)
            writer.put(NOTES_TABLE, _APPLIED, pack_index(entries[-1][0]))
            if transaction.generations is not self._generations:
                transaction.generations.save(writer)
        self._applied_index = entries[-1][0]
        if transaction.generations is not self._generations:
            self._follow(transaction.generations, transaction.offset)
        topics = set(transaction.topics)
        self.kv.forget(topics)
        self.catalog.forget(topics, transaction.instances)
        if transaction.lock_delays:
            self.lock_delays.begin(transaction.lock_delays)
        self.watches.wake(topics)
        return results

    def advance(self, index: int) -> None:
        """Note that entries up to `index` which are not commands have been passed.

        This is stored with the next batch: passing such entries once more after a restart does no harm.
        """
        self._applied_index = max(self._applied_index, index)

    def newest_tombstone(self) -> int:
        """Index of the newest tombstone, 0 when there is none: what `TombstoneAges` observes."""
        return tombstones_index(self.reader)

    def restore_under_way(self) -> str:
        """The id of the restore of an archive whose rows are staged, or ""."""
        return restore_under_way(self.reader)

    # --- whole states ---

    def freeze(self) -> FrozenState:
        """The state of this moment, to be read while commands go on being applied. Close it soon."""
        return FrozenState(self._store.snapshot(), self.reader.names, self.index)

    def snapshot(self) -> MachineSnapshot:
        """A frozen view at `applied_index`."""
        return MachineSnapshot(self._store.snapshot(), self._generations, self._applied_index)

    async def restore(self, source: SnapshotSource) -> None:
        """Replace the whole state: readers see the old state until the new one is complete. Every wait ends.

        The new state is written in small batches beside the old one, so that nothing waits for long; a restore that
        fails or is interrupted has not happened, and leaves waste.
        """
        current = unused_generation(self._store.tables(), self._kept)
        staged = unused_generation(self._store.tables(), self._kept | {current})
        self._loading = frozenset({current, staged})
        try:
            has_staged = False
            stream = SnapshotReader(source)
            index = await stream.read_header()
            names, staged_names = TableNames(current), TableNames(staged)
            async for table, pairs in stream.frames():
                is_staged = table.startswith(STAGED_PREFIX)
                has_staged |= is_staged
                name = staged_names[table.removeprefix(STAGED_PREFIX)] if is_staged else names[table]
                with self._store.write() as writer:
                    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
                        writer.put(name, key, value)
                await asyncio.sleep(0)
            under_way = has_staged or bool(restore_under_way(CurrentReader(self._store, names)))
            generations = Generations(current, staged if under_way else None)
            with self._store.write() as writer:
                generations.save(writer)
                writer.put(NOTES_TABLE, _APPLIED, pack_index(index))
        finally:
            self._loading = frozenset()
            self.waste.set()
        self._applied_index = index
        self._follow(generations, index_offset(CurrentReader(self._store, names)))

    async def verify(self, source: SnapshotSource) -> None:
        """Read a snapshot to its end. CorruptStoreError when it is none."""
        stream = SnapshotReader(source)
        await stream.read_header()
        async for _ in stream.frames():
            pass

    def remove_waste(self, rows_max: int) -> bool:
        """Remove some rows of a state that was replaced; whether there may be more. A batch of its own."""
        if remove_waste(self._store, self._kept, rows_max):
            return True
        self.waste.clear()
        return False

    @property
    def _kept(self) -> frozenset[int]:
        return self._generations.kept | self._loading

    def _follow(self, generations: Generations, offset: int) -> None:
        """Take over what a batch has made of the generations; when the state is another one now, every wait ends."""
        before, self._generations, self._offset = self._generations, generations, offset
        if generations.kept != before.kept:
            self.waste.set()
        if generations.current != before.current:
            self.reader.names = TableNames(generations.current)
            self.kv.forget_all()
            self.catalog.forget_all()
            self.lock_delays.clear()
            self.watches.wake_all()
