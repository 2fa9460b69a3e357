"""The writing side of the log's files: what the log's one thread does. No method is called from elsewhere."""

from __future__ import annotations

import contextlib
import errno
import secrets
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from consul_kernel.contracts.errors import StoreFullError
from consul_kernel.contracts.store import HardState, LogEntry

from .files import Files
from .records import FLAG_RESET, HEADER_BYTES, BatchEncoder, Header, record_size
from .segment import Segment, segment_name

TEMPORARY_SUFFIX = ".tmp"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one flush makes durable. The entries go on after `base_index`, whose term is `base_term`."""

    base_index: int
    base_term: int
    entries: Sequence[LogEntry]
    hard_state: HardState | None


@dataclass(frozen=True, slots=True)
class Written:
    """Where a batch went: a new file, if one was begun for it, and each entry's offset."""

    segment: Segment | None
    offsets: array[int]

    def begun(self) -> Segment:
        """The file that was begun."""
        if self.segment is None:
            raise ValueError("no file was begun")
        return self.segment


class SegmentWriter:
    """Appends to the last file of the log, begins new ones and removes old ones.

    After StoreFullError all is as it was. Any other exception leaves the disk in an unknown state: the caller must not
    use the writer again.
    """

    def __init__(self, files: Files, folder: Path, segment_bytes: int) -> None:
        self._files = files
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._kept: list[Header] = []
        self._descriptor = -1
        self._position = 0
        self._checksum = 0
        self._hard_state = HardState()

    def begin(self) -> Segment:
        """Create the first file of a new log."""
        return self._roll(0, 0).begun()

    def resume(
        self, headers: Sequence[Header], position: int, checksum: int, hard_state: HardState, *, mend: bool
    ) -> None:
        """Go on in the last of the recovered files, after cutting off a torn end where there is one.

        What recovery read may be in the operating system's cache only: it is flushed before anyone acts on it.
        """
        self._kept = list(headers)
        self._position, self._checksum, self._hard_state = position, checksum, hard_state
        header = headers[-1]
        self._descriptor = self._files.open(self._folder / segment_name(header.sequence))
        if mend:
            # In place: a file never has another size than it was made with, so a short one is known as damaged.
            self._files.write(self._descriptor, bytes(header.capacity - position), position)
        self._files.flush(self._descriptor)
        self._files.flush_folder(self._folder)

    def append(self, batch: Batch) -> Written:
        """Write one batch and flush it."""
        size = sum(record_size(len(entry.data)) for entry in batch.entries)
        former, self._hard_state = self._hard_state, batch.hard_state or self._hard_state
        if batch.hard_state is not None:
            size += self._hard_state_size()
        header = self._kept[-1]
        if batch.base_index < header.base_index or self._position + size > header.capacity:
            try:
                return self._roll(batch.base_index, batch.base_term, batch.entries, size)
            except StoreFullError:
                self._hard_state = former
                raise
        encoder = BatchEncoder(header.seed, self._position, self._checksum)
        # The vote comes first: a write cut short must not keep a term's entries and lose the term.
        if batch.hard_state is not None:
            encoder.add_hard_state(batch.hard_state)
        offsets = encoder.add_entries(batch.entries)
        if encoder.size:
            self._files.write(self._descriptor, encoder.bytes(), self._position)
            self._files.flush(self._descriptor)
            self._position += encoder.size
            self._checksum = encoder.checksum
        return Written(None, offsets)

    def compact(self, index: int) -> None:
        """Remove files whose entries are all at or before `index`, oldest first."""
        keep = 0
        for position, header in enumerate(self._kept):
            if header.base_index <= index:
                keep = position
        self._remove(keep)

    def reset(self, index: int, term: int) -> Segment:
        """Begin an empty log after `index`, then remove what came before."""
        segment = self._roll(index, term, flags=FLAG_RESET).begun()
        self._remove(len(self._kept) - 1)
        return segment

    def close(self) -> None:
        """Close the last file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._files.close(descriptor)

    def _roll(
        self, base_index: int, base_term: int, entries: Sequence[LogEntry] = (), room: int = 0, *, flags: int = 0
    ) -> Written:
        """Begin a file with the hard state and a batch in it. It has its name only once all that is durable."""
        capacity = max(self._segment_bytes, HEADER_BYTES + self._hard_state_size() + room)
        sequence = self._kept[-1].sequence + 1 if self._kept else 1
        header = Header(capacity, sequence, secrets.randbits(64), base_index, base_term, self._checksum, flags)
        encoder = BatchEncoder(header.seed, HEADER_BYTES, self._checksum)
        encoder.add_hard_state(self._hard_state)
        offsets = encoder.add_entries(entries)
        path = self._folder / segment_name(sequence)
        temporary = path.with_suffix(TEMPORARY_SUFFIX)
        descriptor = self._make(temporary, capacity, header.encode() + encoder.bytes())
        try:
            self._files.rename(temporary, path)
            self._files.flush_folder(self._folder)
        except BaseException:
            self._files.close(descriptor)
            raise
        self.close()
        self._descriptor = descriptor
        self._position = HEADER_BYTES + encoder.size
        self._checksum = encoder.checksum
        self._kept.append(header)
        return Written(Segment(path, header), offsets)

    def _make(self, path: Path, capacity: int, data: bytes) -> int:
        """A new file that is durable, but for its name. StoreFullError, with nothing left of it, where it has no room.

        Only here can a disk be full: what is written later goes where room was reserved.
        """
        descriptor = -1
        try:
            descriptor = self._files.create(path, capacity)
            self._files.write(descriptor, data, 0)
            self._files.flush(descriptor)
        except OSError as error:
            if descriptor >= 0:
                self._files.close(descriptor)
            if error.errno not in NO_ROOM:
                raise
            with contextlib.suppress(FileNotFoundError):
                self._files.remove(path)
            raise StoreFullError(f"{self._folder}: no room for {capacity} bytes of log: {error.strerror}") from error
        return descriptor

    def _remove(self, count: int) -> None:
        if count <= 0:
            return
        for header in self._kept[:count]:
            self._files.remove(self._folder / segment_name(header.sequence))
        del self._kept[:count]
        self._files.flush_folder(self._folder)

    def _hard_state_size(self) -> int:
        return record_size(len(self._hard_state.vote.encode()))
