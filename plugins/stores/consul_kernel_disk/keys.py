"""How table keys become LMDB keys, which hold at most 511 bytes, so that ranges keep the order of bytes.

A *node* is a run of LMDB keys with a common prefix: each table has a root node. Within a node a key of at most
`CHUNK_BYTES` stands as it is. A longer one is split: its first `CHUNK_BYTES` name a child node that
holds the rest. The child's prefix contains a digest of the table and of all that was split off, so a single
lookup finds a long key; and a *link* (the chunk plus one zero byte, in the parent) marks the child's
place in the order: right after the key that equals the chunk, before any key that does not begin with it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from consul_kernel.contracts.errors import StoreError

TABLE_NAME_BYTES: Final = 64
CHUNK_BYTES: Final = 440
"""Room for the longest table name, the marks around it, and the zero byte of a link."""

_ROOT: Final = b"\x01"
_CHILD: Final = b"\x02"
DIGEST_BYTES: Final = 16


def root_node(table: str) -> bytes:
    """The prefix of a table's keys. Raises StoreError for a name that cannot be one."""
    name = table.encode()
    if not 0 < len(name) <= TABLE_NAME_BYTES or b"\x00" in name:
        raise StoreError(f"{table!r} cannot name a table: 1 to {TABLE_NAME_BYTES} bytes without a zero byte")
    return _ROOT + name + b"\x00"


def child_node(table: str, split_off: bytes) -> bytes:
    """The prefix of the keys of a table that begin with `split_off`, a multiple of CHUNK_BYTES long."""
    name = table.encode()
    return _CHILD + blake2b(name + b"\x00" + split_off, digest_size=DIGEST_BYTES).digest()


def table_of(lmdb_key: bytes) -> str | None:
    """The table whose root node holds an LMDB key; None for a child's."""
    if lmdb_key[:1] != _ROOT:
        return None
    return lmdb_key[1 : lmdb_key.index(b"\x00", 1)].decode()


def first_root_after(table: str | None) -> bytes:
    """An LMDB key beyond every key of a table's root node; the start of all roots for None."""
    return _ROOT if table is None else _ROOT + table.encode() + b"\x01"


def node_end(node: bytes) -> bytes | None:
    """The least LMDB key after every key with this prefix; None where there is none."""
    stripped = node.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


def long_key(table: str, key: bytes) -> bytes:
    """The LMDB key of a key longer than CHUNK_BYTES."""
    split = (len(key) - 1) // CHUNK_BYTES * CHUNK_BYTES
    return child_node(table, key[:split]) + key[split:]


def links(table: str, key: bytes) -> list[tuple[bytes, bytes]]:
    """The links that lead to a long key, from the root down, each with the child that it leads to."""
    found = []
    node = root_node(table)
    for end in range(CHUNK_BYTES, len(key), CHUNK_BYTES):
        child = child_node(table, key[:end])
        found.append((node + key[end - CHUNK_BYTES : end] + b"\x00", child))
        node = child
    return found
