"""Tombstones: what is remembered of deleted keys, until the leader has it forgotten.

Consul keeps one for each deleted key, and one at the prefix of a deleted tree, so that the index of a prefix does not
go back. That does not tell which of the two it was, nor how far back the memory reaches, and whoever asks what has
changed since an index must know both: hence the deleted trees in the order of their deletion, and the *horizon*, the
index up to which deletions may have been forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator

from .keys import after_prefix, pack_index, unpack_index
from .tables import KeySet, Reader, Writer, bump_index, table_index
from .transaction import Transaction

TOMBSTONES = b"tombstones"
"""The name in the table of indexes."""

_TABLE = "tombstones"
_by_index = KeySet("tombstones.index")
_trees = KeySet("tombstones.trees")
"""By index of the deletion + prefix; the prefix of everything is empty."""
_HORIZON_TABLE = "tombstones.horizon"
_HORIZON = b"index"


def tombstones_index(reader: Reader) -> int:
    """The index of the newest tombstone, 0 when there is none: what the leader may ask to be reaped."""
    return max(_last_index(reader, _by_index), _last_index(reader, _trees))


def _last_index(reader: Reader, rows: KeySet) -> int:
    for key, _ in reader.range(rows.name, reverse=True):
        return unpack_index(key[:8])
    return 0


def put_tombstone(writer: Writer, key: bytes, index: int) -> None:
    """Add the tombstone of a key or prefix that was deleted at an index."""
    packed = pack_index(index)
    writer.put(_TABLE, key, packed)
    _by_index.add(writer, packed + key)


def scan_tombstones(reader: Reader) -> Iterator[tuple[bytes, int]]:
    """Deleted keys and prefixes in order, each with the index of its deletion."""
    for key, value in reader.range(_TABLE):
        yield key, unpack_index(value)


def highest_tombstone(reader: Reader, prefix: bytes) -> int:
    """The index of the newest tombstone under a prefix, 0 when there is none."""
    return max((unpack_index(value) for _, value in reader.range(_TABLE, prefix, after_prefix(prefix))), default=0)


def deleted_keys(reader: Reader, since: int) -> Iterator[bytes]:
    """Keys, and prefixes of trees, that were deleted after an index, in the order of their last deletion."""
    for key, _ in reader.range(_by_index.name, pack_index(since + 1)):
        yield key[8:]


def deleted_trees(reader: Reader, since: int) -> Iterator[bytes]:
    """Prefixes under which everything was deleted after an index, in order; one may come more than once."""
    for key, _ in reader.range(_trees.name, pack_index(since + 1)):
        yield key[8:]


def bury(transaction: Transaction, key: bytes) -> None:
    """Remember that a key was deleted."""
    _begin_memory(transaction)
    _put(transaction, key)


def bury_tree(transaction: Transaction, prefix: bytes) -> None:
    """Remember that everything under a prefix was deleted."""
    _begin_memory(transaction)
    _trees.add(transaction, pack_index(transaction.index) + prefix)
    if prefix:
        _put(transaction, prefix)


def _put(transaction: Transaction, key: bytes) -> None:
    before = transaction.get(_TABLE, key)
    if before is not None:
        _by_index.discard(transaction, before + key)
    put_tombstone(transaction, key, transaction.index)
    bump_index(transaction, TOMBSTONES)


def horizon(reader: Reader) -> int:
    """The index up to which deletions may have been forgotten: what was deleted later is still known.

    A state without a horizon remembers nothing but the tombstones of an earlier version, if any.
    """
    value = reader.get(_HORIZON_TABLE, _HORIZON)
    return table_index(reader, TOMBSTONES) if value is None else unpack_index(value)


def set_horizon(transaction: Transaction, index: int) -> None:
    """Say that nothing up to an index can be told any more: the state was another one until then."""
    transaction.put(_HORIZON_TABLE, _HORIZON, pack_index(index))


def _begin_memory(transaction: Transaction) -> None:
    if transaction.get(_HORIZON_TABLE, _HORIZON) is None:
        set_horizon(transaction, horizon(transaction))


def reap_tombstones(transaction: Transaction, up_to: int) -> None:
    """Forget tombstones made at or before an index."""
    stop = pack_index(up_to + 1)
    expired = [key for key, _ in transaction.range(_by_index.name, stop=stop)]
    trees = [key for key, _ in transaction.range(_trees.name, stop=stop)]
    if expired or trees:
        set_horizon(transaction, max(horizon(transaction), min(up_to, transaction.index)))
    for key in trees:
        _trees.discard(transaction, key)
    for key in expired:
        _by_index.discard(transaction, key)
        transaction.delete(_TABLE, key[8:])
    if expired:
        bump_index(transaction, TOMBSTONES)
