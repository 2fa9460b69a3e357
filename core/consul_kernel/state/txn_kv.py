"""Operations of transactions on keys."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.go_quote import quote
from consul_kernel.structs.kv import DirEntry, KVOp, KVSRequest
from consul_kernel.structs.txn import KV_READS, TxnKVOp, TxnKVVerb, TxnResult

from .kv import apply_kvs, entries_under, find_entry
from .tables import Reader
from .transaction import Transaction

Results = list[TxnResult]

_REFUSALS = {
    TxnKVVerb.CAS: "failed to set key {}, index is stale",
    TxnKVVerb.DELETE_CAS: "failed to delete key {}, index is stale",
    TxnKVVerb.LOCK: "failed to lock key {}, lock is already held",
    TxnKVVerb.UNLOCK: "failed to unlock key {}, lock isn't held, or is held by another session",
}
"""Why a write that may fail to take effect did not."""
_WRITES = frozenset(KVOp)
_DELETES = frozenset({TxnKVVerb.DELETE, TxnKVVerb.DELETE_CAS, TxnKVVerb.DELETE_TREE})


def apply_kv(transaction: Transaction, op: TxnKVOp) -> Results:
    """Carry out an operation. RequestError when it is refused."""
    if op.verb not in _WRITES:
        return read_kv(transaction, op)
    key = op.dir_ent.key
    if not apply_kvs(transaction, KVSRequest(op=op.verb, dir_ent=op.dir_ent)):
        raise RequestError(_REFUSALS[TxnKVVerb(op.verb)].format(quote(key)))
    return [] if op.verb in _DELETES else _without_value(find_entry(transaction, key))


def read_kv(reader: Reader, op: TxnKVOp) -> Results:
    """Carry out an operation that only reads. RequestError when it is refused, or would write."""
    if op.verb not in KV_READS:
        raise RequestError(f"unknown KV verb {quote(op.verb)}")
    return _READS[TxnKVVerb(op.verb)](reader, op.dir_ent)


def _without_value(entry: DirEntry | None) -> Results:
    return [] if entry is None else [TxnResult(kv=replace(entry, value=None))]


def _get(reader: Reader, wanted: DirEntry) -> Results:
    entry = find_entry(reader, wanted.key)
    if entry is None:
        raise RequestError(f"key {quote(wanted.key)} doesn't exist")
    return [TxnResult(kv=entry)]


def _get_tree(reader: Reader, wanted: DirEntry) -> Results:
    return [TxnResult(kv=entry) for entry in entries_under(reader, wanted.key)]


def _check_session(reader: Reader, wanted: DirEntry) -> Results:
    entry = find_entry(reader, wanted.key)
    if entry is None:
        raise RequestError(f"failed to check session, key {quote(wanted.key)} doesn't exist")
    if entry.session != wanted.session:
        raise RequestError(
            f"failed session check for key {quote(wanted.key)}, "
            f"current session {quote(entry.session)} != {quote(wanted.session)}"
        )
    return _without_value(entry)


def _check_index(reader: Reader, wanted: DirEntry) -> Results:
    entry = find_entry(reader, wanted.key)
    if entry is None:
        raise RequestError(f"failed to check index, key {quote(wanted.key)} doesn't exist")
    if entry.modify_index != wanted.modify_index:
        raise RequestError(
            f"failed index check for key {quote(wanted.key)}, "
            f"current modify index {entry.modify_index} != {wanted.modify_index}"
        )
    return _without_value(entry)


def _check_not_exists(reader: Reader, wanted: DirEntry) -> Results:
    if find_entry(reader, wanted.key) is not None:
        raise RequestError(f"key {quote(wanted.key)} exists")
    return []


_READS: dict[TxnKVVerb, Callable[[Reader, DirEntry], Results]] = {
    TxnKVVerb.GET: _get,
    TxnKVVerb.GET_TREE: _get_tree,
    TxnKVVerb.CHECK_SESSION: _check_session,
    TxnKVVerb.CHECK_INDEX: _check_index,
    TxnKVVerb.CHECK_NOT_EXISTS: _check_not_exists,
}
