"""The state as a stream of bytes: what a snapshot holds, and how it is read back.

The stream is a header, frames of pairs, and an end frame that tells how many pairs there were, so that a stream
which was cut short is known as such:

    b"CKSTATE" + version octet + u64 index
    u32 length + MessagePack [table, [key, value, key, value, …]]     (any number)
    u32 0 + u64 count of pairs

Numbers are big-endian. Tables come in the order of their names and pairs in the order of their keys, so equal
states give equal bytes. The table of the machine's own notes is left out; what is staged of a restore under way is
there, under names that begin with `staged/`. A stream is of version 2 when a server that knows only version 1
would not understand all of it: when the state was restored from an archive, or is about to be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec

from consul_kernel.contracts.errors import CorruptStoreError
from consul_kernel.contracts.store import MAX_KEY_BYTES, SnapshotSource, StateSnapshot

from .generations import STAGED_PREFIX, CurrentReader, Generations, TableNames
from .machine_table import MACHINE_TABLE
from .restore import RESTORE_TABLE, TABLE_NAME_BYTES

MAGIC = b"CKSTATE"
VERSIONS = (1, 2)
NEWER_TABLES = (MACHINE_TABLE, RESTORE_TABLE)
"""Tables without which a state would be another one: they make a stream one of version 2."""

CHUNK_BYTES = 256 * 1024
FRAME_BYTES = 64 * 1024
MAX_FRAME_BYTES = 64 * 1024 * 1024
HEADER_BYTES = len(MAGIC) + 9

_Frame = tuple[str, list[bytes]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Frame).decode


class FrozenState:
    """The state's tables as they were at one moment."""

    def __init__(self, view: StateSnapshot, names: TableNames, index: int) -> None:
        self._view = view
        self.reader = CurrentReader(view, names)
        self.index = index
        """The state's index at that moment."""

    def close(self) -> None:
        """Let go of the view. Idempotent."""
        self._view.close()


class MachineSnapshot:
    """A frozen view of the state; the contract's `StateMachineSnapshot`."""

    def __init__(self, view: StateSnapshot, generations: Generations, index: int) -> None:
        self._view = view
        self._generations = generations
        self._index = index

    @property
    def index(self) -> int:
        """Index of the last command that it includes."""
        return self._index

    def chunks(self) -> Iterator[bytes]:
        """The stream in pieces of CHUNK_BYTES, the last one shorter."""
        tables = self._generations.tables(self._view.tables())
        version = 2 if any(table in NEWER_TABLES for table, _ in tables) else 1
        buffer = bytearray(MAGIC + bytes((version,)) + self._index.to_bytes(8, "big"))
        for frame in self._frames(tables):
            buffer += frame
            while len(buffer) >= CHUNK_BYTES:
                yield bytes(memoryview(buffer)[:CHUNK_BYTES])
                del buffer[:CHUNK_BYTES]
        if buffer:
            yield bytes(buffer)

    def _frames(self, tables: Sequence[tuple[str, str]]) -> Iterator[bytes]:
        """Between frames no range is open, since commands go on being applied meanwhile."""
        count = 0
        for table, name in tables:
            start = b""
            while pairs := self._page(name, start):
                yield _frame(table, pairs)
                count += len(pairs) // 2
                start = pairs[-2] + b"\x00"
        yield bytes(4) + count.to_bytes(8, "big")

    def _page(self, name: str, start: bytes) -> list[bytes]:
        """Keys and values by turns, from a key on, until there are FRAME_BYTES of them."""
        pairs: list[bytes] = []
        size = 0
        for key, value in self._view.range(name, start):
            pairs += (key, value)
            size += len(key) + len(value)
            if size >= FRAME_BYTES:
                break
        return pairs

    def close(self) -> None:
        """Let go of the view. Idempotent."""
        self._view.close()


def _frame(table: str, pairs: Sequence[bytes]) -> bytes:
    body = _encode((table, pairs))
    return len(body).to_bytes(4, "big") + body


class SnapshotReader:
    """Reads a stream: first `read_header`, then `frames` to their end. CorruptStoreError when it is no such stream."""

    def __init__(self, source: SnapshotSource) -> None:
        self._source = source
        self._buffer = bytearray()

    async def read_header(self) -> int:
        """The index of the state, which is also that of the source's description."""
        header = await self._read(HEADER_BYTES)
        if header[: len(MAGIC)] != MAGIC:
            raise self._corrupt("holds no state of consul-kernel")
        if header[len(MAGIC)] not in VERSIONS:
            raise self._corrupt(
                f"has format {header[len(MAGIC)]}, this version reads up to {max(VERSIONS)}: upgrade first"
            )
        index = int.from_bytes(header[len(MAGIC) + 1 :], "big")
        if index != self._source.meta.index:
            raise self._corrupt(
                f"holds the state at index {index}, but is described as that at {self._source.meta.index}"
            )
        return index

    async def frames(self) -> AsyncIterator[tuple[str, list[bytes]]]:
        """Table, and keys and values by turns, of each frame."""
        count = 0
        while length := int.from_bytes(await self._read(4), "big"):
            if length > MAX_FRAME_BYTES:
                raise self._corrupt(f"has a frame of {length} bytes")
            try:
                table, pairs = _decode(await self._read(length))
            except msgspec.MsgspecError as error:
                raise self._corrupt(f"cannot be decoded: {error}") from error
            self._check_frame(table, pairs)
            yield table, pairs
            count += len(pairs) // 2
        promised = int.from_bytes(await self._read(8), "big")
        if count != promised:
            raise self._corrupt(f"has {count} pairs where {promised} were written")

    def _check_frame(self, table: str, pairs: list[bytes]) -> None:
        """No store may have to refuse it: by then it is too late."""
        name = table.removeprefix(STAGED_PREFIX)
        if not name or len(name) > TABLE_NAME_BYTES or not name.isascii() or "/" in name or "\x00" in name:
            raise self._corrupt(f"has a table {table[:100]!r}")
        if len(pairs) % 2:
            raise self._corrupt("has a key without a value")
        if any(not 0 < len(key) <= MAX_KEY_BYTES for key in pairs[::2]):
            raise self._corrupt(f"has a key in {table} whose length is not 1 to {MAX_KEY_BYTES} bytes")

    async def _read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        while len(self._buffer) < size:
            more = await self._source.read(CHUNK_BYTES)
            if not more:
                raise self._corrupt("is cut short: restore an older one")
            self._buffer += more
        head = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return head

    def _corrupt(self, what: str) -> CorruptStoreError:
        return CorruptStoreError(f"snapshot {self._source.meta.id} {what}")
