"""The parts that a `Quorum` gives to a consensus: a state machine, a log and snapshots, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from consul_kernel.contracts.errors import CorruptStoreError, StoreError, StoreFullError
from consul_kernel.contracts.store import HardState, LogEntry, SnapshotMeta, SnapshotSource


class JournalMachine:
    """A state machine that keeps every command in order, and answers with `(index, command)`."""

    def __init__(self) -> None:
        self.commands: list[tuple[int, bytes]] = []
        self.applied_index = 0
        self.broken = False
        self.full = False

    def apply(self, entries: Sequence[tuple[int, bytes]]) -> Sequence[object]:
        """Append; raises when `broken` was set, StoreFullError when `full` was. Indexes must rise."""
        if self.broken:
            raise RuntimeError("the state machine is broken")
        if self.full:
            raise StoreFullError("no space left on device")
        for index, command in entries:
            if index <= self.applied_index:
                raise AssertionError(f"entry {index} applied after {self.applied_index}")
            self.applied_index = index
            self.commands.append((index, command))
        return list(entries)

    def advance(self, index: int) -> None:
        """Pass an entry that is no command."""
        if index <= self.applied_index:
            raise AssertionError(f"advance to {index} after {self.applied_index}")
        self.applied_index = index

    def snapshot(self) -> JournalSnapshot:
        """The commands so far."""
        return JournalSnapshot(self.applied_index, tuple(self.commands))

    async def restore(self, source: SnapshotSource) -> None:
        """Read what `JournalSnapshot.chunks` wrote."""
        self.commands = await _read_journal(source)
        self.applied_index = source.meta.index

    async def verify(self, source: SnapshotSource) -> None:
        """Read it and do nothing with it."""
        await _read_journal(source)


async def _read_journal(source: SnapshotSource) -> list[tuple[int, bytes]]:
    data = b""
    while chunk := await source.read(1000):
        data += chunk
    try:
        return msgspec.msgpack.decode(data, type=list[tuple[int, bytes]])
    except msgspec.DecodeError as error:
        raise CorruptStoreError(f"snapshot {source.meta.id} is no journal: {error}") from error


class JournalSnapshot:
    """A frozen view of a JournalMachine."""

    def __init__(self, index: int, commands: tuple[tuple[int, bytes], ...]) -> None:
        self.index = index
        self._data = msgspec.msgpack.encode(commands)

    def chunks(self) -> Iterator[bytes]:
        """Small pieces, so that there are several."""
        for start in range(0, len(self._data), 700):
            yield self._data[start : start + 700]

    def close(self) -> None:
        """Nothing to let go of."""


class FlushedLog:
    """A LogStore whose `append` takes `flush_ms`; what a crash interrupts is not there afterwards."""

    def __init__(self) -> None:
        self.stored: list[LogEntry] = []
        self.base = (0, 0)
        self.hard_state = HardState()
        self.flush_ms = 1.0
        self.failing = False
        self.full = False
        self.flushes = 0
        self.alive: Callable[[], bool] = lambda: True

    @property
    def first_index(self) -> int:
        return self.base[0] + 1

    @property
    def last_index(self) -> int:
        return self.base[0] + len(self.stored)

    def term(self, index: int) -> int | None:
        """As the contract says."""
        if index == self.base[0]:
            return self.base[1]
        position = index - self.first_index
        return self.stored[position].term if 0 <= position < len(self.stored) else None

    def entries(self, first: int, last: int, max_bytes: int) -> Sequence[LogEntry]:
        """As the contract says."""
        if first < self.first_index:
            raise StoreError(f"entry {first} is not kept")
        chosen: list[LogEntry] = []
        size = 0
        for entry in self.stored[first - self.first_index : last - self.base[0]]:
            size += len(entry.data)
            if chosen and size > max_bytes:
                break
            chosen.append(entry)
        return chosen

    async def append(self, entries: Sequence[LogEntry], hard_state: HardState | None = None) -> None:
        """As the contract says; StoreError when `failing` was set, StoreFullError when `full` was."""
        entries = list(entries)
        await asyncio.sleep(self.flush_ms / 1000)
        if self.failing:
            raise StoreError("input/output error")
        if self.full:
            raise StoreFullError("no space left on device")
        if not self.alive():
            await asyncio.Event().wait()  # the machine is gone: nothing happens any more
        self.flushes += 1
        if entries:
            if not self.base[0] < entries[0].index <= self.last_index + 1:
                raise StoreError(f"entry {entries[0].index} does not join the log")
            del self.stored[entries[0].index - self.first_index :]
            self.stored.extend(entries)
        if hard_state is not None:
            self.hard_state = hard_state

    async def compact(self, index: int) -> None:
        """As the contract says."""
        index = min(index, self.last_index)
        if index >= self.first_index:
            term = self.term(index) or 0
            del self.stored[: index - self.base[0]]
            self.base = (index, term)

    async def reset(self, index: int, term: int) -> None:
        """As the contract says."""
        await asyncio.sleep(self.flush_ms / 1000)
        self.stored.clear()
        self.base = (index, term)


@dataclass
class _Sink:
    owner: KeptSnapshots
    meta: SnapshotMeta
    data: bytearray = field(default_factory=bytearray)

    async def write(self, chunk: bytes) -> None:
        await asyncio.sleep(0)
        self.data += chunk

    async def commit(self) -> SnapshotMeta:
        self.meta = msgspec.structs.replace(self.meta, size=len(self.data))
        self.owner.kept.append((self.meta, bytes(self.data)))
        self.owner.kept.sort(key=lambda item: item[0].index, reverse=True)
        del self.owner.kept[2:]
        return self.meta

    async def abort(self) -> None:
        self.data.clear()


@dataclass
class _Source:
    meta: SnapshotMeta
    data: bytes

    async def read(self, max_bytes: int) -> bytes:
        await asyncio.sleep(0)
        chunk, self.data = self.data[:max_bytes], self.data[max_bytes:]
        return chunk

    def close(self) -> None:
        self.data = b""


class KeptSnapshots:
    """A SnapshotStore that keeps two."""

    def __init__(self) -> None:
        self.kept: list[tuple[SnapshotMeta, bytes]] = []
        self._number = 0

    def list(self) -> Sequence[SnapshotMeta]:
        """As the contract says."""
        return [meta for meta, _ in self.kept]

    async def create(self, *, index: int, term: int, configuration: bytes, configuration_index: int) -> _Sink:
        """As the contract says."""
        self._number += 1
        meta = SnapshotMeta(
            id=f"{term}-{index}-{self._number}",
            index=index,
            term=term,
            configuration=configuration,
            configuration_index=configuration_index,
        )
        return _Sink(self, meta)

    async def open(self, snapshot_id: str) -> _Source:
        """As the contract says."""
        for meta, data in self.kept:
            if meta.id == snapshot_id:
                return _Source(meta, data)
        raise StoreError(f"no snapshot {snapshot_id}")
