"""Keys and values: entries, and what is asked of them.

A read of a prefix answers the highest index of what is or was under it (Consul: "Blocking queries" of the KV
store); tombstones remember that for deleted keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from msgspec.structs import replace

from consul_kernel.contracts.errors import RequestError
from consul_kernel.contracts.store import MAX_KEY_BYTES
from consul_kernel.structs.kv import DirEntry, KVOp, KVSRequest
from consul_kernel.structs.record import RaftIndexed

from .keys import after_prefix, fold, pack
from .sessions import find_session
from .tables import Reader, Table, Writer, bump_index, table_index
from .tombstones import TOMBSTONES, bury, bury_tree, highest_tombstone
from .transaction import Transaction
from .watches import KEY, Topic

MAX_KV_KEY_BYTES = MAX_KEY_BYTES - 8
"""The longest key that can be stored: a tombstone's place in the order of indexes takes eight octets."""

CACHED_ENTRIES = 8192
CACHED_VALUE_BYTES = 4096

KVS = b"kvs"
"""The name in the table of indexes."""

_entries: Table[DirEntry] = Table("kvs", DirEntry)
_indexes: Table[RaftIndexed] = Table("kvs", RaftIndexed)
"""The same rows, of which all but the indexes is passed over."""
_HELD_TABLE = "kvs.session"
"""By (session id) + digest of a key that the session holds: the key, which may be too long for both."""


class KeyValues:
    """Reads of the KV store, of the last completed batch. Entries are shared: nobody changes them.

    Decoded entries with values of up to CACHED_VALUE_BYTES are kept, CACHED_ENTRIES of them; when there are
    more, the one that was read first goes.
    """

    __slots__ = ("_cache", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._cache: dict[bytes, DirEntry] = {}

    def get(self, key: bytes) -> DirEntry | None:
        """The entry, or None."""
        entry = self._cache.get(key)
        if entry is not None:
            return entry
        if not 0 < len(key) <= MAX_KV_KEY_BYTES:
            return None
        entry = _entries.get(self._reader, key)
        if entry is not None and (entry.value is None or len(entry.value) <= CACHED_VALUE_BYTES):
            if len(self._cache) >= CACHED_ENTRIES:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = entry
        return entry

    def max_index(self) -> int:
        """The index of the last change to any key."""
        return table_index(self._reader, KVS, TOMBSTONES)

    def entries(self, prefix: bytes) -> tuple[int, list[DirEntry]]:
        """The index of a prefix, and its entries in the order of their keys."""
        if len(prefix) > MAX_KV_KEY_BYTES:
            return self.max_index(), []
        entries = [entry for _, entry in _entries.scan(self._reader, prefix)]
        highest = max((entry.modify_index for entry in entries), default=0)
        return self._prefix_index(prefix, highest), entries

    def keys(self, prefix: bytes, separator: bytes = b"") -> tuple[int, list[bytes]]:
        """The index of a prefix, and its key names, each cut behind the first separator after the prefix."""
        index, entries = self.entries(prefix)
        if not separator:
            return index, [entry.key for entry in entries]
        names: dict[bytes, None] = {}
        for entry in entries:
            at = entry.key.find(separator, len(prefix))
            names[entry.key if at < 0 else entry.key[: at + len(separator)]] = None
        return index, list(names)

    def _prefix_index(self, prefix: bytes, highest: int) -> int:
        if not prefix:
            return self.max_index()
        return max(highest, highest_tombstone(self._reader, prefix)) or self.max_index()

    def forget(self, topics: Iterable[Topic]) -> None:
        """Drop from the cache what a batch has touched."""
        if self._cache:
            for kind, key in topics:
                if kind == KEY:
                    self._cache.pop(key, None)

    def forget_all(self) -> None:
        """Drop the cache: the state was replaced."""
        self._cache.clear()


def put_entry(writer: Writer, entry: DirEntry) -> None:
    """Add an entry, with the row that finds it by the session that holds it."""
    _entries.put(writer, entry.key, entry)
    if entry.session:
        writer.put(_HELD_TABLE, _held_row(entry), entry.key)


def find_entry(reader: Reader, key: bytes) -> DirEntry | None:
    """One entry, also of a transaction under way."""
    return _entries.get(reader, key) if 0 < len(key) <= MAX_KV_KEY_BYTES else None


def entries_under(reader: Reader, prefix: bytes) -> list[DirEntry]:
    """The entries under a prefix in the order of their keys, also of a transaction under way."""
    return [entry for _, entry in _entries.scan(reader, prefix)] if len(prefix) <= MAX_KV_KEY_BYTES else []


def entries_since(reader: Reader, prefix: bytes, since: int) -> list[DirEntry]:
    """Of these, the ones that were written after an index. Only they are decoded in full."""
    if len(prefix) > MAX_KV_KEY_BYTES:
        return []
    newer = [key for key, indexes in _indexes.scan(reader, prefix) if indexes.modify_index > since]
    return [entry for key in newer if (entry := _entries.get(reader, key)) is not None]


def scan_entries(reader: Reader) -> Iterator[tuple[bytes, DirEntry]]:
    """All entries in the order of their keys."""
    return _entries.scan(reader)


def _held_row(entry: DirEntry) -> bytes:
    return pack(fold(entry.session)) + blake2b(entry.key, digest_size=16).digest()


def apply_kvs(transaction: Transaction, request: KVSRequest) -> bool:
    """Carry out `KVS.Apply`: whether it took effect, which only check-and-set, lock and unlock may fail to.

    RequestError when it is refused.
    """
    entry = request.dir_ent
    if len(entry.key) > MAX_KV_KEY_BYTES:
        raise RequestError(f"Key is too long: {len(entry.key)} bytes, at most {MAX_KV_KEY_BYTES} are possible")
    operation = _OPERATIONS.get(request.op)
    if operation is None:
        raise RequestError(f"Invalid KVS operation '{request.op}'")
    return operation(transaction, entry)


def _set(transaction: Transaction, entry: DirEntry) -> bool:
    _write(transaction, entry, _entries.get(transaction, entry.key))
    return True


def _check_and_set(transaction: Transaction, entry: DirEntry) -> bool:
    existing = _entries.get(transaction, entry.key)
    if entry.modify_index != (existing.modify_index if existing else 0):
        return False
    _write(transaction, entry, existing)
    return True


def _delete(transaction: Transaction, entry: DirEntry) -> bool:
    _remove(transaction, entry.key)
    return True


def _check_and_delete(transaction: Transaction, entry: DirEntry) -> bool:
    existing = _entries.get(transaction, entry.key)
    if existing is None:
        return True
    if existing.modify_index != entry.modify_index:
        return False
    _remove(transaction, entry.key)
    return True


def _lock(transaction: Transaction, entry: DirEntry) -> bool:
    """Write an entry and hold it, unless another session does. `lock_index` counts how often it changed hands."""
    _require_session(entry)
    if find_session(transaction, entry.session) is None:
        raise RequestError(f'invalid session "{entry.session}"')
    existing = _entries.get(transaction, entry.key)
    if existing is None:
        lock_index = 1
    elif not existing.session:
        lock_index = existing.lock_index + 1
    elif _is_held_by(existing, entry.session):
        lock_index = existing.lock_index
    else:
        return False
    _write(transaction, replace(entry, lock_index=lock_index), existing, session=entry.session)
    return True


def _unlock(transaction: Transaction, entry: DirEntry) -> bool:
    """Write an entry and let go of it, if the session holds it."""
    _require_session(entry)
    existing = _entries.get(transaction, entry.key)
    if existing is None or not _is_held_by(existing, entry.session):
        return False
    _write(transaction, replace(entry, lock_index=existing.lock_index), existing, session="")
    return True


def _require_session(entry: DirEntry) -> None:
    if not entry.session:
        raise RequestError("missing session")


def _is_held_by(entry: DirEntry, session: str) -> bool:
    return fold(entry.session) == fold(session)


def release_held(transaction: Transaction, session: str) -> list[bytes]:
    """Let go of all keys that a session holds, and leave them as they are; the keys in order."""
    keys = _held_by(transaction, session)
    for key in keys:
        existing = _entries.get(transaction, key)
        if existing is not None:
            _write(transaction, existing, existing, session="")
    return keys


def delete_held(transaction: Transaction, session: str) -> list[bytes]:
    """Delete all keys that a session holds; the keys in order."""
    keys = _held_by(transaction, session)
    for key in keys:
        _remove(transaction, key)
    return keys


def _held_by(transaction: Transaction, session: str) -> list[bytes]:
    prefix = pack(fold(session))
    return sorted(key for _, key in transaction.range(_HELD_TABLE, prefix, after_prefix(prefix)))


def _write(transaction: Transaction, entry: DirEntry, existing: DirEntry | None, *, session: str | None = None) -> None:
    """Write an entry unless it is there already. Who holds the key goes on holding it, unless `session` is given."""
    if not entry.key:
        raise RequestError("Must provide key")
    held_by = existing.session if existing else ""
    stored = replace(
        entry,
        session=held_by if session is None else session,
        value=entry.value or None,
        create_index=existing.create_index if existing else transaction.index,
        modify_index=existing.modify_index if existing else 0,
    )
    if stored == existing:
        return
    stored.modify_index = transaction.index
    if existing is not None and held_by and stored.session != held_by:
        transaction.delete(_HELD_TABLE, _held_row(existing))
    if stored.session and stored.session != held_by:
        put_entry(transaction, stored)
    else:
        _entries.put(transaction, entry.key, stored)
    bump_index(transaction, KVS)
    transaction.touch(KEY, entry.key)


def _remove(transaction: Transaction, key: bytes) -> None:
    if key and _drop(transaction, key):
        bury(transaction, key)
        bump_index(transaction, KVS)
        transaction.touch(KEY, key)


def _drop(transaction: Transaction, key: bytes) -> bool:
    entry = _entries.get(transaction, key)
    if entry is not None and entry.session:
        transaction.delete(_HELD_TABLE, _held_row(entry))
    return _entries.delete(transaction, key)


def _delete_tree(transaction: Transaction, entry: DirEntry) -> bool:
    """Delete all keys under a prefix. One tombstone at the prefix speaks for them all."""
    prefix = entry.key
    keys = [key for key, _ in transaction.range(_entries.name, prefix, after_prefix(prefix))]
    if not keys:
        return True
    for key in keys:
        _drop(transaction, key)
        transaction.touch(KEY, key)
    bury_tree(transaction, prefix)
    bump_index(transaction, KVS)
    return True


_OPERATIONS: dict[str, Callable[[Transaction, DirEntry], bool]] = {
    KVOp.SET: _set,
    KVOp.CAS: _check_and_set,
    KVOp.DELETE: _delete,
    KVOp.DELETE_CAS: _check_and_delete,
    KVOp.DELETE_TREE: _delete_tree,
    KVOp.LOCK: _lock,
    KVOp.UNLOCK: _unlock,
}
