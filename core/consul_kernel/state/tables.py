"""Tables of records on a `StateStore`, and the table of indexes that says when each of them last changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

from consul_kernel.contracts.errors import CorruptStoreError

from .keys import after_prefix, pack_index, unpack_index
from .transaction import Transaction

RecordT = TypeVar("RecordT")

_encode = msgspec.msgpack.Encoder().encode


class Reader(Protocol):
    """Where tables are read: the store itself, a snapshot of it, or a transaction."""

    def get(self, table: str, key: bytes) -> bytes | None: ...

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]: ...


class Writer(Protocol):
    """Where rows are put: a transaction, or what collects the rows of an archive."""

    def put(self, table: str, key: bytes, value: bytes) -> None: ...


class Table(Generic[RecordT]):
    """Records of one type by key, as MessagePack under their Go names (so that fields can be added later)."""

    __slots__ = ("_decode", "name")

    def __init__(self, name: str, record_type: type[RecordT]) -> None:
        self.name = name
        self._decode = msgspec.msgpack.Decoder(record_type).decode

    def get(self, reader: Reader, key: bytes) -> RecordT | None:
        """The record, or None. CorruptStoreError when it is damaged."""
        value = reader.get(self.name, key)
        try:
            return None if value is None else self._decode(value)
        except msgspec.DecodeError as error:
            raise self._damaged(key, error) from error

    def put(self, writer: Writer, key: bytes, record: RecordT) -> None:
        """Set the record."""
        writer.put(self.name, key, _encode(record))

    def delete(self, transaction: Transaction, key: bytes) -> bool:
        """Remove the record; whether it was there."""
        return transaction.delete(self.name, key)

    def scan(self, reader: Reader, prefix: bytes = b"") -> Iterator[tuple[bytes, RecordT]]:
        """Keys and records under a prefix, in order. CorruptStoreError when one is damaged."""
        decode = self._decode
        key = prefix
        try:
            for key, value in reader.range(self.name, prefix, after_prefix(prefix)):
                yield key, decode(value)
        except msgspec.DecodeError as error:
            raise self._damaged(key, error) from error

    def _damaged(self, key: bytes, error: msgspec.DecodeError) -> CorruptStoreError:
        return CorruptStoreError(
            f"table {self.name} of the state has a damaged record at {key[:100]!r} ({error}): stop the agent, remove "
            "the folder of the state and start it again; the state is rebuilt from the log and the snapshots"
        )


class KeySet:
    """Keys without values: an index into another table."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def add(self, writer: Writer, key: bytes) -> None:
        """Put a key in."""
        writer.put(self.name, key, b"")

    def discard(self, transaction: Transaction, key: bytes) -> None:
        """Take a key out."""
        transaction.delete(self.name, key)

    def scan(self, reader: Reader, prefix: bytes) -> Iterator[bytes]:
        """Keys under a prefix, in order, without the prefix."""
        length = len(prefix)
        for key, _ in reader.range(self.name, prefix, after_prefix(prefix)):
            yield key[length:]

    def any_under(self, reader: Reader, prefix: bytes) -> bool:
        """Whether there is a key under a prefix."""
        return next(self.scan(reader, prefix), None) is not None


INDEX_TABLE = "index"
"""Name of a table (or `service.<name>`) to the log index at which it last changed: Consul's `index` table."""


def table_index(reader: Reader, *names: bytes) -> int:
    """The highest index of these, 0 where none is known."""
    highest = 0
    for name in names:
        value = reader.get(INDEX_TABLE, name)
        if value is not None:
            index = unpack_index(value)
            if index > highest:
                highest = index
    return highest


def known_index(reader: Reader, name: bytes) -> int | None:
    """One index, or None where it was never set or was removed."""
    value = reader.get(INDEX_TABLE, name)
    return None if value is None else unpack_index(value)


def bump_index(transaction: Transaction, *names: bytes) -> None:
    """Say that these have changed with the current command."""
    value = pack_index(transaction.index)
    for name in names:
        transaction.put(INDEX_TABLE, name, value)


def remove_index(transaction: Transaction, name: bytes) -> None:
    """Forget an index: what it was about is gone."""
    transaction.delete(INDEX_TABLE, name)
