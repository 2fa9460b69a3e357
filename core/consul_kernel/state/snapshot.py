"""The state as a stream of bytes: what a snapshot holds, and how it is read back.

The stream is a header, frames of pairs, and an end frame that tells how many pairs there were, so that a stream
which was cut short is known as such:

    b"CKSTATE" + version octet + u64 index
    u32 length + MessagePack [table, [key, value, key, value, …]]     (any number)
    u32 0 + u64 count of pairs

Numbers are big-endian. Tables come in the order of their names and pairs in the order of their keys, so equal
states give equal bytes. The table of the machine's own notes is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from consul_kernel.contracts.errors import CorruptStoreError
from consul_kernel.contracts.store import SnapshotSource, StateSnapshot

MAGIC = b"CKSTATE"
VERSION = 1
NOTES_TABLE = "meta"
"""The state machine's own notes, such as the index it has applied; not part of the replicated state."""

CHUNK_BYTES = 256 * 1024
FRAME_BYTES = 64 * 1024
MAX_FRAME_BYTES = 64 * 1024 * 1024
HEADER_BYTES = len(MAGIC) + 9

_Frame = tuple[str, list[bytes]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Frame).decode


class MachineSnapshot:
    """A frozen view of the state; the contract's `StateMachineSnapshot`."""

    def __init__(self, view: StateSnapshot, index: int) -> None:
        self._view = view
        self._index = index

    @property
    def index(self) -> int:
        """Index of the last command that it includes."""
        return self._index

    def chunks(self) -> Iterator[bytes]:
        """The stream in pieces of CHUNK_BYTES, the last one shorter."""
        buffer = bytearray(MAGIC + bytes((VERSION,)) + self._index.to_bytes(8, "big"))
        for frame in self._frames():
            buffer += frame
            while len(buffer) >= CHUNK_BYTES:
                yield bytes(memoryview(buffer)[:CHUNK_BYTES])
                del buffer[:CHUNK_BYTES]
        if buffer:
            yield bytes(buffer)

    def _frames(self) -> Iterator[bytes]:
        """Between frames no range is open, since commands go on being applied meanwhile."""
        count = 0
        for table in self._view.tables():
            if table == NOTES_TABLE:
                continue
            start = b""
            while pairs := self._page(table, start):
                yield _frame(table, pairs)
                count += len(pairs) // 2
                start = pairs[-2] + b"\x00"
        yield bytes(4) + count.to_bytes(8, "big")

    def _page(self, table: str, start: bytes) -> list[bytes]:
        """Keys and values by turns, from a key on, until there are FRAME_BYTES of them."""
        pairs: list[bytes] = []
        size = 0
        for key, value in self._view.range(table, start):
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


class _Stream:
    """Exact reads from a source that hands out what it likes."""

    def __init__(self, source: SnapshotSource) -> None:
        self._source = source
        self._buffer = bytearray()

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes. CorruptStoreError at the end."""
        while len(self._buffer) < size:
            more = await self._source.read(CHUNK_BYTES)
            if not more:
                raise CorruptStoreError(f"snapshot {self._source.meta.id} is cut short: restore an older one")
            self._buffer += more
        head = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return head


async def read_snapshot(source: SnapshotSource, put: Callable[[str, bytes, bytes], object]) -> int:
    """Call `put` with table, key and value of each pair of a stream; the index of the state.

    CorruptStoreError when it is no such stream.
    """
    stream = _Stream(source)
    header = await stream.read(HEADER_BYTES)
    if header[: len(MAGIC)] != MAGIC:
        raise CorruptStoreError(f"snapshot {source.meta.id} holds no state of consul-kernel")
    if header[len(MAGIC)] != VERSION:
        raise CorruptStoreError(
            f"snapshot {source.meta.id} has format {header[len(MAGIC)]}, this version reads {VERSION}: upgrade first"
        )
    index = int.from_bytes(header[len(MAGIC) + 1 :], "big")
    count = 0
    while length := int.from_bytes(await stream.read(4), "big"):
        if length > MAX_FRAME_BYTES:
            raise CorruptStoreError(f"snapshot {source.meta.id} has a frame of {length} bytes")
        try:
            table, pairs = _decode(await stream.read(length))
        except msgspec.MsgspecError as error:
            raise CorruptStoreError(f"snapshot {source.meta.id} cannot be decoded: {error}") from error
        if len(pairs) % 2:
            raise CorruptStoreError(f"snapshot {source.meta.id} has a key without a value")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            put(table, key, value)
        count += len(pairs) // 2
    promised = int.from_bytes(await stream.read(8), "big")
    if count != promised:
        raise CorruptStoreError(f"snapshot {source.meta.id} has {count} pairs where {promised} were written")
    return index
