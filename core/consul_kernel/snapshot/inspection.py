"""What an archive holds, counted as `consul snapshot inspect` counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

from .archive import ArchiveMeta
from .archive_reader import ArchiveReader
from .decoding import ValueProblem, decode_entry
from .records import HEADER, SERVED, RecordReader, RecordType, record_error, type_name

READ_BYTES = 256 * 1024


@dataclass(slots=True)
class Usage:
    """How many records there are under a name, and how many bytes they take, type octets included."""

    name: str
    size: int = 0
    count: int = 0


@dataclass(slots=True)
class Inspection:
    """The contents of an archive. The header counts as part of the first record, as in Consul."""

    meta: ArchiveMeta = field(default_factory=ArchiveMeta)
    by_type: dict[int, Usage] = field(default_factory=dict)
    by_prefix: dict[str, Usage] = field(default_factory=dict)
    """Keys by the beginning of their path, when that was asked for."""
    size: int = 0
    keys_size: int = 0

    def types(self) -> list[Usage]:
        """Largest first."""
        return _largest_first(self.by_type.values())

    def prefixes(self) -> list[Usage]:
        """Largest first."""
        return _largest_first(self.by_prefix.values())

    def unserved(self) -> list[str]:
        """What consul-kernel keeps but does not act on, with the number of records."""
        return [f"{usage.name} ({usage.count})" for kind, usage in sorted(self.by_type.items()) if kind not in SERVED]


def inspect_archive(file: BinaryIO, *, key_depth: int = 0, key_prefix: str = "") -> Inspection:
    """Read an archive to its end. ArchiveError when anything is wrong with it, OSError when it cannot be read.

    `key_depth` > 0 groups keys by so many parts of their path, those that begin with `key_prefix`.
    """
    counter = _Counter(key_depth, key_prefix)
    reader = ArchiveReader(counter.feed)
    while piece := file.read(READ_BYTES):
        reader.feed(piece)
    meta = reader.close()
    counter.records.close()
    counter.inspection.meta = meta
    return counter.inspection


def verify_archive(file: BinaryIO) -> ArchiveMeta:
    """Verify an archive's form and checksums, but not its records. ArchiveError or OSError."""
    ignore: Callable[[bytes], object] = len
    reader = ArchiveReader(ignore)
    while piece := file.read(READ_BYTES):
        reader.feed(piece)
    return reader.close()


class _Counter:
    def __init__(self, key_depth: int, key_prefix: str) -> None:
        self.inspection = Inspection()
        self.records = RecordReader()
        self._key_depth = key_depth
        self._key_prefix = key_prefix
        self._header_size = 0

    def feed(self, piece: bytes) -> None:
        for kind, record in self.records.feed(piece):
            if kind == HEADER:
                self._header_size = len(record)
                continue
            size = 1 + len(record) + self._header_size
            self._header_size = 0
            self._count(kind, record, size)

    def _count(self, kind: int, record: bytes, size: int) -> None:
        inspection = self.inspection
        usage = inspection.by_type.setdefault(kind, Usage(type_name(kind)))
        usage.size += size
        usage.count += 1
        inspection.size += size
        if kind == RecordType.KVS and self._key_depth > 0:
            try:
                key = decode_entry(record).key.decode("utf-8", "replace")
            except ValueProblem as error:
                raise record_error(kind, self.records.count - 1, f"cannot be read: {error}") from None
            if key.startswith(self._key_prefix):
                self._count_key(key, size)

    def _count_key(self, key: str, size: int) -> None:
        name = "/".join(key.split("/")[: self._key_depth])
        usage = self.inspection.by_prefix.setdefault(name, Usage(name))
        usage.size += size
        usage.count += 1
        self.inspection.keys_size += size


def _largest_first(usages: Iterable[Usage]) -> list[Usage]:
    return sorted(usages, key=lambda usage: (-usage.size, usage.name))
