"""Reads of the state through one LMDB transaction: the same for the store, a snapshot and an open batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lmdb

from consul_kernel.contracts.errors import StoreError

from .keys import CHUNK_BYTES, first_root_after, long_key, node_end, root_node, table_of
from .values import CHECKSUM_BYTES, RESIDUE, DamagedValueError, checked, crc32

Transaction = Any
"""An lmdb.Transaction without `buffers`, so that keys and values are bytes; lmdb's types cannot say so."""
Failed = Callable[[Exception], StoreError]
"""What an error of LMDB, or of a value's checksum, means to who called."""

READ_ERRORS = (lmdb.Error, DamagedValueError)

MAX_TABLES_CACHED = 1024


class RootNodes(dict[str, bytes]):
    """Root nodes by table name: a dict's own lookup where the name was seen before."""

    def __missing__(self, table: str) -> bytes:
        node = root_node(table)
        if len(self) < MAX_TABLES_CACHED:
            self[table] = node
        return node


ROOT_NODES = RootNodes()


def read_value(transaction: Transaction, table: str, key: bytes, failed: Failed) -> bytes | None:
    """The value of a key, or None. Raises what `failed` gives, as every read does."""
    if len(key) <= CHUNK_BYTES:
        key = ROOT_NODES[table] + key
    else:
        key = long_key(table, key)
    try:
        found: bytes | None = transaction.get(key)
        return None if found is None else checked(found)
    except READ_ERRORS as error:
        raise failed(error) from error


def read_range(
    transaction: Transaction, table: str, start: bytes, stop: bytes | None, reverse: bool, failed: Failed
) -> Iterator[tuple[bytes, bytes]]:
    """Pairs of a table with `start <= key < stop`, in order or in reverse."""
    walk = _walk_back if reverse else _walk
    return walk(transaction, ROOT_NODES[table], b"", start, stop, failed)


def read_tables(transaction: Transaction, failed: Failed) -> Sequence[str]:
    """Names of the tables that hold a key: one seek for each."""
    found: list[str] = []
    try:
        with transaction.cursor() as cursor:
            while cursor.set_range(first_root_after(found[-1] if found else None)):
                table = table_of(cursor.key())
                if table is None:
                    break
                found.append(table)
    except READ_ERRORS as error:
        raise failed(error) from error
    return sorted(found)


def _bound(node: bytes, stop: bytes | None) -> bytes:
    """The LMDB key at which a walk through a node ends, exclusive."""
    if stop is None:
        return node_end(node) or b"\xff" * 512
    if len(stop) > CHUNK_BYTES:
        # The link of the chunk that `stop` begins with is still within.
        return node + stop[:CHUNK_BYTES] + b"\x01"
    return node + stop


def _first(node: bytes, start: bytes) -> bytes:
    """The LMDB key at which a walk through a node begins."""
    return node + start[:CHUNK_BYTES] + b"\x00" if len(start) > CHUNK_BYTES else node + start


def _child_bounds(chunk: bytes, start: bytes, stop: bytes | None) -> tuple[bytes, bytes | None]:
    """The part of a range that lies in the child that a chunk leads to."""
    inner_start = start[CHUNK_BYTES:] if start[:CHUNK_BYTES] == chunk else b""
    inner_stop = stop[CHUNK_BYTES:] if stop is not None and stop[:CHUNK_BYTES] == chunk else None
    # A stop of exactly the chunk ends the walk before its link; it never gets here.
    return inner_start, inner_stop or None


def _walk(
    transaction: Transaction, node: bytes, split_off: bytes, start: bytes, stop: bytes | None, failed: Failed
) -> Iterator[tuple[bytes, bytes]]:
    """A node's pairs in order, its children's in their places."""
    bound = _bound(node, stop)
    width = len(node)
    longest = width + CHUNK_BYTES
    try:
        with transaction.cursor() as cursor:
            if not cursor.set_range(_first(node, start)):
                return
            for lmdb_key, value in cursor.iternext():
                if lmdb_key >= bound:
                    return
                if len(lmdb_key) <= longest:
                    if crc32(value) != RESIDUE:
                        checked(value)
                    yield split_off + lmdb_key[width:], value[:-CHECKSUM_BYTES]
                else:
                    chunk = lmdb_key[width:longest]
                    bounds = _child_bounds(chunk, start, stop)
                    yield from _walk(transaction, value, split_off + chunk, *bounds, failed)
    except READ_ERRORS as error:
        raise failed(error) from error


def _walk_back(
    transaction: Transaction, node: bytes, split_off: bytes, start: bytes, stop: bytes | None, failed: Failed
) -> Iterator[tuple[bytes, bytes]]:
    """A node's pairs in reverse order, its children's in their places."""
    first = _first(node, start)
    width = len(node)
    longest = width + CHUNK_BYTES
    try:
        with transaction.cursor() as cursor:
            # One step back from the first key at or beyond the bound.
            there = cursor.prev() if cursor.set_range(_bound(node, stop)) else cursor.last()
            if not there:
                return
            for lmdb_key, value in cursor.iterprev():
                if lmdb_key < first:
                    return
                if len(lmdb_key) <= longest:
                    if crc32(value) != RESIDUE:
                        checked(value)
                    yield split_off + lmdb_key[width:], value[:-CHECKSUM_BYTES]
                else:
                    chunk = lmdb_key[width:longest]
                    bounds = _child_bounds(chunk, start, stop)
                    yield from _walk_back(transaction, value, split_off + chunk, *bounds, failed)
    except READ_ERRORS as error:
        raise failed(error) from error
