"""Reading the log's files back at start: what a crash explains is mended, anything else stops the start."""

from __future__ import annotations

import logging
from array import array
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from consul_kernel.contracts.errors import CorruptStoreError
from consul_kernel.contracts.store import HardState

from .files import Files
from .index import LogIndex
from .records import (
    FLAG_RESET,
    HEADER_BYTES,
    TYPE_HARD_STATE,
    BadHeaderError,
    Header,
    Record,
    decode_header,
    find_later_batch,
    may_be_torn,
    read_chain,
)
from .segment import REMEDY, SUFFIX, Segment, segment_name
from .writer import TEMPORARY_SUFFIX

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Recovered:
    """The log as the files tell it, and where to go on writing."""

    index: LogIndex
    headers: list[Header] = field(default_factory=list)
    position: int = 0
    checksum: int = 0
    hard_state: HardState = HardState()
    torn: bool = False
    """Whether the last file has something to cut off."""


def recover(folder: Path, files: Files, cache_bytes: int) -> Recovered:
    """Read every file in order. `headers` is empty for a log that was never begun.

    Raises CorruptStoreError, and OSError when a file cannot be read.
    """
    for leftover in folder.glob(f"*{TEMPORARY_SUFFIX}"):
        files.remove(leftover)
    recovered = Recovered(LogIndex(cache_bytes))
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    _check_names(paths)
    for path in paths:
        _Replay(recovered, path, last=path is paths[-1]).run()
    return recovered


def _check_names(paths: list[Path]) -> None:
    """Files are numbered without a gap; the oldest may have any number."""
    for path in paths:
        if not path.stem.isdigit() or path.name != segment_name(int(path.stem)):
            raise CorruptStoreError(f"{path}: not a file of the log: move it out of the folder")
    for before, path in pairwise(paths):
        if int(path.stem) != int(before.stem) + 1:
            missing = before.with_name(segment_name(int(before.stem) + 1))
            raise CorruptStoreError(f"{missing}: this file of the log is missing; {REMEDY}")


class _Replay:
    """Replays one file onto what the files before it gave."""

    def __init__(self, recovered: Recovered, path: Path, *, last: bool) -> None:
        self._recovered = recovered
        self._path = path
        self._last = last

    def run(self) -> None:
        recovered = self._recovered
        data = self._path.read_bytes()
        try:
            header = decode_header(data)
        except BadHeaderError as error:
            raise self._damage(0, str(error)) from error
        if len(data) != header.capacity:
            raise self._damage(len(data), f"it has {len(data)} bytes and was made with {header.capacity}")
        self._join(header)
        recovered.headers.append(header)
        recovered.position, recovered.checksum = HEADER_BYTES, header.checksum_before
        for record in read_chain(data, header):
            self._apply(record)
            recovered.position, recovered.checksum = record.end, record.checksum
        self._check_end(data, header)

    def _join(self, header: Header) -> None:
        """Check that a file follows from the one before it, and go to its base."""
        recovered, index = self._recovered, self._recovered.index
        if header.sequence != int(self._path.stem):
            raise self._damage(0, f"it says that it is file {header.sequence}")
        segment = Segment(self._path, header)
        if recovered.headers and header.checksum_before != recovered.checksum:
            raise self._damage(0, "it does not join the file before it, whose end is missing")
        if not recovered.headers or header.flags & FLAG_RESET or header.base_index < index.base_index:
            index.clear(header.base_index, header.base_term)
        elif index.term(header.base_index) != header.base_term:
            raise self._damage(0, f"it goes on after entry {header.base_index}, which the log does not have")
        index.truncate(header.base_index)
        index.begin(segment)

    def _apply(self, record: Record) -> None:
        index = self._recovered.index
        if record.type == TYPE_HARD_STATE:
            try:
                self._recovered.hard_state = record.hard_state()
            except UnicodeDecodeError as error:
                raise self._damage(record.offset, "its vote is not text") from error
            return
        if not index.segments[-1].base_index < record.index <= index.last_index + 1:
            raise self._damage(record.offset, f"entry {record.index} does not follow entry {index.last_index}")
        index.truncate(record.index - 1)
        index.extend([record.entry()], array("I", [record.offset]))

    def _check_end(self, data: bytes, header: Header) -> None:
        """What follows the last good record must be zeros, or what a crash left of an unfinished write."""
        position = self._recovered.position
        rest = data[position:].rstrip(b"\x00")
        if position == HEADER_BYTES:
            raise self._damage(position, "its first record is bad, which was flushed before the file got its name")
        if not rest:
            return
        if not self._last:
            raise self._damage(position, "a bad record, although a newer file follows")
        later = find_later_batch(data, position, header.seed)
        if later is not None:
            raise self._damage(position, f"a bad record, although a later one, at offset {later.offset}, is good")
        if not may_be_torn(data, position, header):
            raise self._damage(position, "a bad record that no interrupted write explains")
        self._recovered.torn = True
        logger.warning(
            "%s: cut %d bytes at offset %d: a write that was interrupted before it was confirmed",
            self._path,
            len(rest),
            position,
        )

    def _damage(self, offset: int, what: str) -> CorruptStoreError:
        return CorruptStoreError(f"{self._path}: damaged at offset {offset}: {what}; {REMEDY}")
