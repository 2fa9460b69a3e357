"""One file of the log, as readers see it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from consul_kernel.contracts.errors import CorruptStoreError, StoreError
from consul_kernel.contracts.store import LogEntry

from .records import RECORD_BYTES, TYPE_ENTRY, Header, Record, read_record, stated_size

SUFFIX = ".log"
READ_BYTES = 256 * 1024
"""A file is read this much at a time."""

REMEDY = (
    "if the other servers are well, move this server's data_dir away and let it join again with an empty one; "
    "if it is the only server, restore from a backup"
)


def segment_name(sequence: int) -> str:
    """File names sort as the files follow each other."""
    return f"{sequence:016d}{SUFFIX}"


@dataclass(slots=True)
class Segment:
    """Where a file's entries are: entry `base_index + 1 + i` starts at `offsets[i]`.

    Owned by the event loop; the thread that writes only reports offsets.
    """

    path: Path
    header: Header
    offsets: array[int] = field(default_factory=lambda: array("I"))

    @property
    def base_index(self) -> int:
        """Index of the entry before the first one here."""
        return self.header.base_index

    def read(self, first: int, last: int) -> Iterator[LogEntry]:
        """Entries from `first` to `last`, as far as they are in this file, each checked as it is read.

        Raises CorruptStoreError, and StoreError when the file cannot be read.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror}") from error
        try:
            base = self.base_index + 1
            chunk, start = b"", 0
            for index in range(first, min(last + 1, base + len(self.offsets))):
                offset = self.offsets[index - base]
                record = read_record(chunk, offset - start, self.header.seed)
                if record is None:
                    chunk, start = self._load(descriptor, offset), offset
                    record = read_record(chunk, 0, self.header.seed)
                yield self._entry(record, index, offset)
        finally:
            os.close(descriptor)

    def _load(self, descriptor: int, offset: int) -> bytes:
        try:
            chunk = os.pread(descriptor, READ_BYTES, offset)
            if len(chunk) >= RECORD_BYTES and (size := stated_size(chunk, 0)) > len(chunk):
                chunk = os.pread(descriptor, min(size, self.header.capacity), offset)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror}") from error
        return chunk

    def _entry(self, record: Record | None, index: int, offset: int) -> LogEntry:
        if record is None or record.type != TYPE_ENTRY or record.index != index:
            raise CorruptStoreError(
                f"{self.path}: entry {index} at offset {offset} was damaged while the agent ran: "
                f"check the disk; {REMEDY}"
            )
        return record.entry()
