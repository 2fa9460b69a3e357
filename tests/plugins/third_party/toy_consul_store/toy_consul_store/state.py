"""The state: one SQLite table, whose blobs order as bytes do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import MAX_KEY_BYTES

_SCHEMA = "CREATE TABLE IF NOT EXISTS rows (name TEXT, key BLOB, value BLOB, PRIMARY KEY (name, key)) WITHOUT ROWID"


class ToyReader:
    """Reads on one connection."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection

    def get(self, table: str, key: bytes) -> bytes | None:
        row = self._live().execute("SELECT value FROM rows WHERE name = ? AND key = ?", (table, key)).fetchone()
        return None if row is None else bytes(row[0])

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        query = "SELECT key, value FROM rows WHERE name = ? AND key >= ?"
        arguments: tuple[object, ...] = (table, start)
        if stop is not None:
            query, arguments = f"{query} AND key < ?", (*arguments, stop)
        rows = self._live().execute(f"{query} ORDER BY key {'DESC' if reverse else 'ASC'}", arguments)
        try:
            for key, value in rows:
                yield bytes(key), bytes(value)
        finally:
            rows.close()

    def tables(self) -> Sequence[str]:
        return sorted(name for (name,) in self._live().execute("SELECT DISTINCT name FROM rows").fetchall())

    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("closed")
        return self._connection


class ToySnapshot(ToyReader):
    """A connection of its own, in a read transaction."""

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class ToyWriter(ToyReader):
    """The writing connection while a batch is open."""

    def put(self, table: str, key: bytes, value: bytes) -> None:
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise StoreError(f"a key of {len(key)} bytes")
        self._live().execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (table, key, value))

    def delete(self, table: str, key: bytes) -> bool:
        return self._live().execute("DELETE FROM rows WHERE name = ? AND key = ?", (table, key)).rowcount > 0

    def clear(self) -> None:
        self._live().execute("DELETE FROM rows")

    def end(self) -> None:
        """Refuse everything from now on."""
        self._connection = None


class ToyState(ToyReader):
    """A `StateStore`: reads on one connection, batches on another."""

    def __init__(self) -> None:
        super().__init__(None)
        self._writing: sqlite3.Connection | None = None
        self._connect: Callable[[], sqlite3.Connection] | None = None
        self._busy = False

    def open(self, path: Path, connect: Callable[[Path], sqlite3.Connection]) -> None:
        self._writing = connect(path)
        self._writing.execute(_SCHEMA)
        self._connection = connect(path)
        self._connect = lambda: connect(path)

    def close(self) -> None:
        for connection in (self._writing, self._connection):
            if connection is not None:
                connection.close()
        self._writing = self._connection = None

    @contextmanager
    def write(self) -> Iterator[ToyWriter]:
        if self._writing is None or self._busy:
            raise StoreError("closed, or a batch is open")
        writer = ToyWriter(self._writing)
        self._busy = True
        try:
            with self._writing:
                self._writing.execute("BEGIN IMMEDIATE")
                yield writer
        finally:
            self._busy = False
            writer.end()

    def snapshot(self) -> ToySnapshot:
        if self._connect is None or self._connection is None:
            raise StoreError("closed")
        connection = self._connect()
        connection.execute("BEGIN")
        # The transaction has its view from its first read on.
        connection.execute("SELECT 1 FROM rows LIMIT 1").fetchall()
        return ToySnapshot(connection)
