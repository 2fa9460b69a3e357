"""The bytes of a log file: its header and its records. docs/contracts/store.md describes the format.

A file is a header, then records, each aligned to 8 bytes, then zeros. Every record carries its own checksum,
the checksum of the record before it (so that none can be missing or out of place), and the offset at
which its *batch* began: the records of one batch were made durable by one flush, and a batch is begun
only when the one before it has been flushed. Recovery tells a torn write from damage by that.

Checksums start from a random salt in the header, so that neither an older file's bytes nor a user's value can
pass for a record.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from consul_kernel.contracts.store import HardState, LogEntry

MAGIC: Final = b"CKRAFTLG"
FORMAT_VERSION: Final = 1
FLAG_RESET: Final = 1
"""The log starts anew at this file's base, which need not join what came before."""

TYPE_ENTRY: Final = 1
TYPE_HARD_STATE: Final = 2

ALIGNMENT: Final = 8
SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all."""

# magic, version, flags, capacity, sequence, salt, base index, base term, checksum of the last record before it
_HEADER = struct.Struct("<8sHHIQQQQI")
_CHECKSUM = struct.Struct("<I")
# checksum of head and data, checksum of the head alone: where the head is right, its length can be trusted
_CHECKSUMS = struct.Struct("<II")
HEADER_BYTES: Final = 64

# length of data, batch offset, checksum before, type, kind, index, term
_RECORD = struct.Struct("<IIIBxxxIQQ")
RECORD_BYTES: Final = _CHECKSUMS.size + _RECORD.size
_PADDING: Final = tuple(bytes(-size % ALIGNMENT) for size in range(ALIGNMENT))
_pack_record = _RECORD.pack
_pack_checksums = _CHECKSUMS.pack
_crc32 = zlib.crc32

MAX_DATA_BYTES: Final = 1 << 29
"""The largest entry: half a gibibyte, so that offsets stay within 32 bits."""


@dataclass(frozen=True, slots=True)
class Header:
    """The start of a file of `capacity` bytes. The log goes on after entry `base_index`, whose term is `base_term`."""

    capacity: int
    sequence: int
    salt: int
    base_index: int
    base_term: int
    checksum_before: int
    flags: int = 0

    def encode(self) -> bytes:
        """`HEADER_BYTES` bytes."""
        packed = _HEADER.pack(
            MAGIC,
            FORMAT_VERSION,
            self.flags,
            self.capacity,
            self.sequence,
            self.salt,
            self.base_index,
            self.base_term,
            self.checksum_before,
        )
        body = packed.ljust(HEADER_BYTES - _CHECKSUM.size, b"\x00")
        return body + _CHECKSUM.pack(_crc32(body))

    @property
    def seed(self) -> int:
        """Where the checksums of this file's records start from."""
        return _crc32(self.salt.to_bytes(8, "little"))


class BadHeaderError(ValueError):
    """The start of a file is not a header that this version reads; the text says why."""


def decode_header(data: bytes) -> Header:
    """The header at the start of `data`. Raises BadHeaderError."""
    if data[:8] != MAGIC:
        raise BadHeaderError("it does not begin as a log file does")
    body, checksum = data[: HEADER_BYTES - 4], data[HEADER_BYTES - 4 : HEADER_BYTES]
    if len(checksum) < _CHECKSUM.size or _CHECKSUM.unpack(checksum)[0] != _crc32(body):
        raise BadHeaderError("its header's checksum is wrong")
    _, version, flags, capacity, sequence, salt, base_index, base_term, before = _HEADER.unpack_from(body)
    if version != FORMAT_VERSION:
        raise BadHeaderError(f"its format is version {version}, this agent reads version {FORMAT_VERSION}")
    return Header(capacity, sequence, salt, base_index, base_term, before, flags)


@dataclass(frozen=True, slots=True)
class Record:
    """One record found in a file."""

    offset: int
    end: int
    checksum: int
    checksum_before: int
    batch: int
    type: int
    kind: int
    index: int
    term: int
    data: bytes

    def entry(self) -> LogEntry:
        """The log entry that it holds."""
        return LogEntry(self.index, self.term, self.kind, self.data)

    def hard_state(self) -> HardState:
        """The hard state that it holds. Raises UnicodeDecodeError."""
        return HardState(self.term, self.data.decode())


def record_size(data_bytes: int) -> int:
    """Bytes that a record with so much data takes, padding included."""
    return (RECORD_BYTES + data_bytes + ALIGNMENT - 1) & -ALIGNMENT


class BatchEncoder:
    """Encodes the records of one batch, chained to each other."""

    __slots__ = ("_batch", "_parts", "_seed", "checksum", "size")

    def __init__(self, seed: int, offset: int, checksum_before: int) -> None:
        self._seed = seed
        self._batch = offset
        self._parts: list[bytes] = []
        self.checksum = checksum_before
        """Of the last record so far."""
        self.size = 0

    def add(self, record_type: int, kind: int, index: int, term: int, data: bytes) -> None:
        """Append one record. Raises struct.error where a number does not fit."""
        length = len(data)
        head = _pack_record(length, self._batch, self.checksum, record_type, kind, index, term)
        head_checksum = _crc32(head, self._seed)
        self.checksum = checksum = _crc32(data, head_checksum)
        self._parts += (
            _pack_checksums(checksum, head_checksum),
            head,
            data,
            _PADDING[(RECORD_BYTES + length) % ALIGNMENT],
        )
        self.size += (RECORD_BYTES + length + ALIGNMENT - 1) & -ALIGNMENT

    def add_hard_state(self, hard_state: HardState) -> None:
        """Append the hard state."""
        self.add(TYPE_HARD_STATE, 0, 0, hard_state.term, hard_state.vote.encode())

    def add_entries(self, entries: Sequence[LogEntry]) -> array[int]:
        """Append entries; the offset of each in the file."""
        offsets = array("I")
        note, add, batch = offsets.append, self.add, self._batch
        for entry in entries:
            note(batch + self.size)
            add(TYPE_ENTRY, entry.kind, entry.index, entry.term, entry.data)
        return offsets

    def bytes(self) -> bytes:
        """The batch as it goes to the file."""
        return b"".join(self._parts)


def stated_size(data: bytes, offset: int) -> int:
    """Bytes of the record at `offset` without its padding, if its head can be believed."""
    return RECORD_BYTES + int(_RECORD.unpack_from(data, offset + _CHECKSUMS.size)[0])


def _head_end(data: bytes, offset: int, seed: int) -> int | None:
    """Where the data of the record at `offset` ends, if its head is right."""
    start = offset + RECORD_BYTES
    if start > len(data):
        return None
    if _crc32(data[offset + _CHECKSUMS.size : start], seed) != _CHECKSUMS.unpack_from(data, offset)[1]:
        return None
    return offset + stated_size(data, offset)


def read_record(data: bytes, offset: int, seed: int) -> Record | None:
    """The record at `offset` if its checksums are right, whatever its place in the chain."""
    end = _head_end(data, offset, seed)
    if end is None or end > len(data):
        return None
    checksum, head_checksum = _CHECKSUMS.unpack_from(data, offset)
    payload = data[offset + RECORD_BYTES : end]
    if _crc32(payload, head_checksum) != checksum:
        return None
    length, batch, before, record_type, kind, index, term = _RECORD.unpack_from(data, offset + _CHECKSUMS.size)
    return Record(
        offset, offset + record_size(length), checksum, before, batch, record_type, kind, index, term, payload
    )


def read_chain(data: bytes, header: Header) -> Iterator[Record]:
    """Records from the start of a file for as long as each is right and joins the one before."""
    seed, offset, before = header.seed, HEADER_BYTES, header.checksum_before
    while (record := read_record(data, offset, seed)) is not None and record.checksum_before == before:
        yield record
        offset, before = record.end, record.checksum


def find_later_batch(data: bytes, offset: int, seed: int) -> Record | None:
    """A record beyond `offset` whose batch began beyond it too: proof that what was at `offset` had been flushed."""
    for position in range(offset + ALIGNMENT, len(data.rstrip(b"\x00")), ALIGNMENT):
        record = read_record(data, position, seed)
        if record is not None and offset < record.batch <= position:
            return record
    return None


def may_be_torn(data: bytes, offset: int, header: Header) -> bool:
    """Whether a write that a crash of the machine cut short can explain the bad record at `offset`.

    The file was zeros before, and a sector is written whole or not at all: some sector of the record must
    then still be zeros. Where none is, the record had been written whole and was damaged later.
    """
    head = _head_end(data, offset, header.seed)
    end = min(len(data), offset + RECORD_BYTES if head is None else head)
    position = offset
    while position < end:
        boundary = min(end, (position // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if not data[position:boundary].strip(b"\x00"):
            return True
        position = boundary
    return False
