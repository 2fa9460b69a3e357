"""The replicated state machine: what the log of commands amounts to, on any `StateStore`."""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.contracts.errors import ConsulKernelError, RequestError
from consul_kernel.contracts.store import SnapshotSource, StateStore

from .catalog import Catalog
from .commands import apply_command
from .keys import pack_index, unpack_index
from .kv import KeyValues, tombstones_index
from .snapshot import NOTES_TABLE, MachineSnapshot, read_snapshot
from .transaction import Transaction
from .watches import Watches

_APPLIED = b"applied_index"


class OutOfOrderError(ConsulKernelError):
    """Consensus handed over an entry that was applied before: the order it promised is broken."""


class ReplicatedState:
    """The contract's `StateMachine`, and where endpoints read.

    `kv` and `catalog` answer queries from the last completed batch; `watches` tells when to ask again. Reads are
    synchronous and run in the event loop that applies commands, so one query never sees half a batch.
    """

    def __init__(self, store: StateStore) -> None:
        self.watches = Watches()
        self.kv = KeyValues(store)
        self.catalog = Catalog(store)
        self._store = store
        applied = store.get(NOTES_TABLE, _APPLIED)
        self._applied_index = 0 if applied is None else unpack_index(applied)

    @property
    def applied_index(self) -> int:
        """Index of the last entry that was applied or passed."""
        return self._applied_index

    def apply(self, entries: Sequence[tuple[int, bytes]]) -> Sequence[object]:
        """Apply commands in one batch with the index they reach; then wake who waits for what they touched.

        A refused command gives the RequestError that says why, and leaves no trace.
        """
        if not entries:
            return []
        if entries[0][0] <= self._applied_index:
            raise OutOfOrderError(f"entry {entries[0][0]} after {self._applied_index}")
        results: list[object] = []
        with self._store.write() as writer:
            transaction = Transaction(writer)
            for index, command in entries:
                transaction.begin(index)
                try:
                    results.append(apply_command(transaction, command))
                except RequestError as error:
                    transaction.rollback()
                    results.append(error)
            writer.put(NOTES_TABLE, _APPLIED, pack_index(entries[-1][0]))
        self._applied_index = entries[-1][0]
        topics = set(transaction.topics)
        self.kv.forget(topics)
        self.catalog.forget(topics, transaction.instances)
        self.watches.wake(topics)
        return results

    def advance(self, index: int) -> None:
        """Note that entries up to `index` which are not commands have been passed.

        This is stored with the next batch: passing such entries once more after a restart does no harm.
        """
        self._applied_index = max(self._applied_index, index)

    def newest_tombstone(self) -> int:
        """Index of the newest tombstone, 0 when there is none: what `TombstoneAges` observes."""
        return tombstones_index(self._store)

    def snapshot(self) -> MachineSnapshot:
        """A frozen view at `applied_index`."""
        return MachineSnapshot(self._store.snapshot(), self._applied_index)

    async def restore(self, source: SnapshotSource) -> None:
        """Replace the whole state, in one batch: readers see the old state until the new one is complete, and

        a restore that is interrupted has not happened. Every wait ends.
        """
        with self._store.write() as writer:
            writer.clear()
            index = await read_snapshot(source, writer.put)
            writer.put(NOTES_TABLE, _APPLIED, pack_index(index))
        self._applied_index = index
        self.kv.forget_all()
        self.catalog.forget_all()
        self.watches.wake_all()

    async def verify(self, source: SnapshotSource) -> None:
        """Read a snapshot to its end. CorruptStoreError when it is none."""
        await read_snapshot(source, lambda table, key, value: None)
