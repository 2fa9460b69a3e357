"""Store: where a server keeps the replicated state, the log of commands and the snapshots.

A store has three parts with one life: the *state* (ordered tables, the outcome of applying the log), the
*log* (what consensus has promised to remember) and the *snapshots* (whole states, to shorten the log).
Everything is called from the agent's one event loop; what waits for a disk is `async`.

Clauses: docs/contracts/store.md. Kits: `consul_kernel.testing.store_kit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from .errors import StoreError
from .plugin import Plugin

MAX_KEY_BYTES = 1536
"""The longest key that a state store must take, ranges in the order of bytes included (LMDB's own limit is 511)."""


class StateReader(Protocol):
    """Reads of ordered tables. A table springs into being with its first key; keys order as bytes do."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with `start <= key < stop` in order (`stop` None: to the end), or in reverse order.

        The iterator must be used up or dropped before the next write to the same view.
        """
        ...

    def tables(self) -> Sequence[str]:
        """Names of the tables that hold at least one key, sorted."""
        ...


class StateSnapshot(StateReader, Protocol):
    """A view that does not change while writes go on. Close it soon: it costs memory."""

    def close(self) -> None:
        """Let go of the view. Idempotent."""
        ...


class StateWriter(StateReader, Protocol):
    """A batch of writes that takes effect as one; reads within it see the writes made so far."""

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Set a value. `key` is 1 to MAX_KEY_BYTES long."""
        ...

    def delete(self, table: str, key: bytes) -> bool:
        """Remove a key; whether it was there."""
        ...

    def clear(self) -> None:
        """Remove every key of every table."""
        ...


class StateStore(StateReader, Protocol):
    """Tables of bytes. Reads on the store itself see the last completed batch."""

    def write(self) -> AbstractContextManager[StateWriter]:
        """Begin a batch: completed when the block ends, undone when it raises. One at a time.

        The block, or its end, raises StoreFullError where there is no room; the batch is undone then, too.
        """
        ...

    def snapshot(self) -> StateSnapshot:
        """A frozen view of the last completed batch, in time that does not depend on the size."""
        ...


class LogEntry(msgspec.Struct, frozen=True, array_like=True):
    """One entry of the replicated log. `kind` is the consensus plugin's own; the log does not read it."""

    index: int
    term: int
    kind: int
    data: bytes


class HardState(msgspec.Struct, frozen=True, array_like=True):
    """What a server must never forget (Raft paper, figure 2: currentTerm and votedFor; "" for no vote)."""

    term: int = 0
    vote: str = ""


class LogStore(Protocol):
    """A contiguous run of entries plus the hard state. Only `append` and the truncations change it."""

    @property
    def first_index(self) -> int:
        """Index of the first entry kept; `last_index + 1` when the log is empty."""
        ...

    @property
    def last_index(self) -> int:
        """Index of the last entry; 0 for a log that never had one."""
        ...

    @property
    def hard_state(self) -> HardState:
        """The last one that was made durable."""
        ...

    def term(self, index: int) -> int | None:
        """The term of an entry, or None when it is not kept. In memory: no I/O on the hot path."""
        ...

    def entries(self, first: int, last: int, max_bytes: int) -> Sequence[LogEntry]:
        """Entries from `first` to `last` inclusive, cut after `max_bytes` of data, but at least one.

        Raises StoreError when `first` is not kept any more.
        """
        ...

    async def append(self, entries: Sequence[LogEntry], hard_state: HardState | None = None) -> None:
        """Make entries and hard state durable before returning, in one disk flush.

        The first entry's index is at most `last_index + 1`; where it is less, what was there from that index
        on is replaced. Raises StoreFullError where there is no room; nothing has changed then, and the log goes on.
        Raises another StoreError when durability cannot be promised; the log then refuses everything, since what
        the disk holds is unknown.
        """
        ...

    async def compact(self, index: int) -> None:
        """Forget entries up to and including `index` (some may be kept longer)."""
        ...

    async def reset(self, index: int, term: int) -> None:
        """Forget every entry; the log goes on after a snapshot that ends at `index` with `term`."""
        ...


@runtime_checkable
class PromptLogStore(LogStore, Protocol):
    """A log that also appends without a task that waits: each hand-over in the event loop costs what a write takes.

    A store need not have it; whoever appends asks with `isinstance`.
    """

    def append_then(
        self, entries: Sequence[LogEntry], hard_state: HardState | None, done: Callable[[StoreError | None], None]
    ) -> None:
        """As `append`, but begun before this returns, and `done` is called with what `append` would have raised.

        Never from within this call. One at a time: the next follows after `done`.
        """
        ...


class SnapshotMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a snapshot without reading it. `configuration` is the consensus plugin's own encoding."""

    id: str
    index: int
    term: int
    configuration: bytes = b""
    configuration_index: int = 0
    size: int = 0


class SnapshotSink(Protocol):
    """A snapshot being written. It does not exist for readers until `commit` returns."""

    async def write(self, chunk: bytes) -> None:
        """Append bytes."""
        ...

    async def commit(self) -> SnapshotMeta:
        """Make it durable and visible, and drop the oldest beyond the number retained."""
        ...

    async def abort(self) -> None:
        """Discard it. Idempotent; no error after `commit`."""
        ...


class SnapshotSource(Protocol):
    """A snapshot being read, verified against its checksum before the first byte is handed out."""

    @property
    def meta(self) -> SnapshotMeta:
        """What was given when it was made, with the real size."""
        ...

    async def read(self, max_bytes: int) -> bytes:
        """The next bytes; empty at the end."""
        ...

    def close(self) -> None:
        """Let go of it. Idempotent."""
        ...


class SnapshotStore(Protocol):
    """Whole states, newest first."""

    def list(self) -> Sequence[SnapshotMeta]:
        """The usable snapshots, newest (highest index) first."""
        ...

    async def create(self, *, index: int, term: int, configuration: bytes, configuration_index: int) -> SnapshotSink:
        """Begin a snapshot of the state at `index`."""
        ...

    async def open(self, snapshot_id: str) -> SnapshotSource:
        """Read one. Raises StoreError when unknown, CorruptStoreError when its checksum is wrong."""
        ...


@runtime_checkable
class Store(Protocol):
    """The three parts of a server's storage."""

    @property
    def state(self) -> StateStore: ...

    @property
    def log(self) -> LogStore: ...

    @property
    def snapshots(self) -> SnapshotStore: ...

    async def start(self) -> None:
        """Open or recover. Raises CorruptStoreError or PluginStartError with what the operator can do."""
        ...

    async def aclose(self) -> None:
        """Flush and let go. Idempotent."""
        ...


DURABLE = "durable"
"""Capability: what `append` and `commit` confirmed survives the process and the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreContext:
    """What a store is made with. `data_dir` is None where the agent file has none (-dev)."""

    data_dir: Path | None


StorePlugin = Plugin[StoreContext, Store]
