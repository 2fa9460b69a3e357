"""The log: rows in SQLite, and all of them in memory too, since `term` and `entries` must not wait."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

import msgspec

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import HardState, LogEntry

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY, term INTEGER, kind INTEGER, data BLOB);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB);
"""


class _Work(Protocol[T_co]):
    def __call__(self, connection: sqlite3.Connection, /) -> T_co: ...


class Runner(Protocol):
    """Does transactions in one thread."""

    async def run(self, work: _Work[T]) -> T: ...


def set_fact(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Remember something small."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, msgspec.msgpack.encode(value)))


class ToyLog:
    """A `LogStore`. One change at a time: an asyncio.Lock serves in order."""

    def __init__(self, database: Runner) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._entries: list[LogEntry] = []
        self._base = (0, 0)
        self._hard_state = HardState()
        self._open = False

    @property
    def first_index(self) -> int:
        return self._base[0] + 1

    @property
    def last_index(self) -> int:
        return self._base[0] + len(self._entries)

    @property
    def hard_state(self) -> HardState:
        return self._hard_state

    def term(self, index: int) -> int | None:
        position = index - self._base[0] - 1
        if position == -1:
            return self._base[1]
        return self._entries[position].term if 0 <= position < len(self._entries) else None

    def entries(self, first: int, last: int, max_bytes: int) -> Sequence[LogEntry]:
        if first <= self._base[0]:
            raise StoreError(f"entry {first} is not kept")
        found: list[LogEntry] = []
        for entry in self._entries[first - self._base[0] - 1 : max(last - self._base[0], 0)]:
            max_bytes -= len(entry.data)
            if found and max_bytes < 0:
                break
            found.append(entry)
        return found

    async def start(self) -> None:
        def load(connection: sqlite3.Connection) -> tuple[list[LogEntry], dict[str, bytes]]:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            rows = connection.execute("SELECT position, term, kind, data FROM log ORDER BY position").fetchall()
            return [LogEntry(*row) for row in rows], dict(connection.execute("SELECT name, value FROM facts"))

        self._entries, facts = await self._database.run(load)
        if "base" in facts:
            self._base = msgspec.msgpack.decode(facts["base"], type=tuple[int, int])
        if "hard_state" in facts:
            self._hard_state = msgspec.msgpack.decode(facts["hard_state"], type=HardState)
        self._open = True

    def close(self) -> None:
        self._open = False

    async def append(self, entries: Sequence[LogEntry], hard_state: HardState | None = None) -> None:
        async with self._turn:
            self._check(entries)

            def work(connection: sqlite3.Connection) -> None:
                if entries:
                    connection.execute("DELETE FROM log WHERE position >= ?", (entries[0].index,))
                rows = [(entry.index, entry.term, entry.kind, entry.data) for entry in entries]
                connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", rows)
                if hard_state is not None:
                    set_fact(connection, "hard_state", hard_state)

            await self._database.run(work)
            if entries:
                self._entries[entries[0].index - self._base[0] - 1 :] = entries
            self._hard_state = hard_state or self._hard_state

    async def compact(self, index: int) -> None:
        async with self._turn:
            index = min(index, self.last_index)
            term = self.term(index)
            if index > self._base[0] and term is not None:
                await self._rebase(index, term, self._entries[index - self._base[0] :])
            elif not self._open:
                raise StoreError("the store is closed")

    async def reset(self, index: int, term: int) -> None:
        async with self._turn:
            await self._rebase(index, term, [])

    async def _rebase(self, index: int, term: int, kept: list[LogEntry]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            if kept:
                connection.execute("DELETE FROM log WHERE position <= ?", (index,))
            else:
                connection.execute("DELETE FROM log")
            set_fact(connection, "base", (index, term))

        await self._database.run(work)
        self._base, self._entries = (index, term), kept

    def _check(self, entries: Sequence[LogEntry]) -> None:
        if entries and not self._base[0] < entries[0].index <= self.last_index + 1:
            raise StoreError(f"an append at {entries[0].index} does not join the log")
        for before, entry in pairwise(entries):
            if entry.index != before.index + 1:
                raise StoreError("entries to append are not contiguous")
