"""Generations: how a whole state is replaced in one step, though it is written in many.

A table of generation 0 has its own name in the store; in generation n it is `n/NAME`. One generation is the state,
another may be in the making (*staged*: an archive that is being restored, piece by piece, as the log orders it), and
what belongs to neither is waste, removed in small steps. Which number a generation has is each server's own affair:
it is kept with the machine's notes, and a snapshot names tables without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from consul_kernel.contracts.store import StateReader, StateStore, StateWriter

from .keys import pack_index, unpack_index

NOTES_TABLE = "meta"
"""The state machine's own notes, of no generation; not part of the replicated state."""
STAGED_PREFIX = "staged/"
"""Before the name of a table that is staged, where a snapshot has to tell it from the state's."""

MAX_NAMES_CACHED = 1024
WASTE_BYTES = 1024 * 1024

_CURRENT = b"generation"
_STAGED = b"staged_generation"


class TableNames(dict[str, str]):
    """The store's names of a generation's tables: a dict's own lookup where the name was seen before."""

    def __init__(self, generation: int) -> None:
        super().__init__()
        self._prefix = f"{generation}/" if generation else ""

    def __missing__(self, table: str) -> str:
        name = self._prefix + table
        if len(self) < MAX_NAMES_CACHED:
            self[table] = name
        return name


def split_name(name: str) -> tuple[int, str]:
    """The generation and the name of a table of the store."""
    number, slash, table = name.partition("/")
    return (int(number), table) if slash else (0, name)


class CurrentReader:
    """Reads of the state's tables, whichever generation they are of."""

    __slots__ = ("_store", "names")

    def __init__(self, store: StateReader, names: TableNames) -> None:
        self._store = store
        self.names = names

    def get(self, table: str, key: bytes) -> bytes | None:
        """As `StateReader.get`."""
        return self._store.get(self.names[table], key)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """As `StateReader.range`."""
        return self._store.range(self.names[table], start, stop, reverse=reverse)


@dataclass(frozen=True, slots=True)
class Generations:
    """Which generation is the state and which, if any, is staged."""

    current: int = 0
    staged: int | None = None

    @classmethod
    def load(cls, reader: StateReader) -> Generations:
        """As the notes have it."""
        current, staged = reader.get(NOTES_TABLE, _CURRENT), reader.get(NOTES_TABLE, _STAGED)
        return cls(unpack_index(current) if current else 0, unpack_index(staged) if staged else None)

    def save(self, writer: StateWriter) -> None:
        """Note them."""
        for key, number in ((_CURRENT, self.current or None), (_STAGED, self.staged)):
            if number is None:
                writer.delete(NOTES_TABLE, key)
            else:
                writer.put(NOTES_TABLE, key, pack_index(number))

    @property
    def kept(self) -> frozenset[int]:
        """The numbers that are not waste."""
        return frozenset({self.current, self.current if self.staged is None else self.staged})

    def tables(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Of the store's tables: name in a snapshot and name in the store, sorted by the former."""
        found = []
        for name in names:
            if name == NOTES_TABLE:
                continue
            generation, table = split_name(name)
            if generation == self.current:
                found.append((table, name))
            elif generation == self.staged:
                found.append((STAGED_PREFIX + table, name))
        return sorted(found)


FIRST_GENERATION = Generations()
FIRST_NAMES = TableNames(FIRST_GENERATION.current)


def unused_generation(names: Iterable[str], taken: Iterable[int]) -> int:
    """The least number of which there is no table, and which is not taken."""
    used = {split_name(name)[0] for name in names if name != NOTES_TABLE} | set(taken)
    return next(number for number in range(len(used) + 1) if number not in used)


def remove_waste(store: StateStore, kept: frozenset[int], rows_max: int) -> bool:
    """Remove at most `rows_max` rows of generations that are not kept, and about WASTE_BYTES; whether there was one."""
    for name in store.tables():
        if name != NOTES_TABLE and split_name(name)[0] not in kept:
            with store.write() as writer:
                for key in _first_keys(store, name, rows_max):
                    writer.delete(name, key)
            return True
    return False


def has_waste(store: StateStore, kept: frozenset[int]) -> bool:
    """Whether a table belongs to a generation that is not kept."""
    return any(name != NOTES_TABLE and split_name(name)[0] not in kept for name in store.tables())


def _first_keys(store: StateReader, name: str, count: int) -> list[bytes]:
    keys, size = [], 0
    for key, value in store.range(name):
        keys.append(key)
        size += len(value)
        if len(keys) == count or size >= WASTE_BYTES:
            break
    return keys
