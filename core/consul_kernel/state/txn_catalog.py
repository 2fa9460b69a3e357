"""Operations of transactions on nodes, services and checks.

For `cas`, an index of 0 means that there must be none yet; for `delete-cas` there must be one, with that index.
"""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.go_quote import quote
from consul_kernel.structs.node import Node
from consul_kernel.structs.record import RaftIndexed
from consul_kernel.structs.txn import TxnCheckOp, TxnNodeOp, TxnResult, TxnServiceOp, TxnVerb

from . import catalog_tables as rows
from .keys import fold
from .registration import delete_check, delete_node, delete_service, put_check, put_node, put_service
from .tables import Reader
from .transaction import Transaction

Results = list[TxnResult]


# --- nodes ---


def apply_node(transaction: Transaction, op: TxnNodeOp) -> Results:
    """Carry out an operation on a node. RequestError when it is refused."""
    wanted, key = op.node, rows.node_key(op.node.node)
    match op.verb:
        case TxnVerb.SET:
            put_node(transaction, wanted)
        case TxnVerb.CAS:
            if not _may_set(rows.nodes.get(transaction, key), wanted.modify_index):
                raise RequestError(f"failed to set node {quote(wanted.node)}, index is stale")
            put_node(transaction, wanted)
        case TxnVerb.DELETE:
            delete_node(transaction, key)
            return []
        case TxnVerb.DELETE_CAS:
            if not _has_index(rows.nodes.get(transaction, key), wanted.modify_index):
                raise RequestError(f"failed to delete node {quote(wanted.node)}, index is stale")
            delete_node(transaction, key)
            return []
        case _:
            return read_node(transaction, op)
    stored = _find_node(transaction, wanted)
    return [] if stored is None else [TxnResult(node=stored)]


def read_node(reader: Reader, op: TxnNodeOp) -> Results:
    """Get a node. RequestError when there is none, or the verb is another one."""
    if op.verb != TxnVerb.GET:
        raise RequestError(f"unknown Node verb {quote(op.verb)}")
    found = _find_node(reader, op.node)
    if found is None:
        raise RequestError(f"node {quote(op.node.node)} doesn't exist")
    return [TxnResult(node=found)]


def _find_node(reader: Reader, wanted: Node) -> Node | None:
    """By id where it has one, else by name."""
    if not wanted.id:
        return rows.nodes.get(reader, rows.node_key(wanted.node))
    key = reader.get(rows.NODE_IDS, fold(wanted.id))
    return None if key is None else rows.nodes.get(reader, key)


# --- services ---


def apply_service(transaction: Transaction, op: TxnServiceOp) -> Results:
    """Carry out an operation on a service instance. RequestError when it is refused."""
    wanted, key = op.service, rows.instance_key(op.node, op.service.id)
    about = f"service {quote(wanted.id)} on node {quote(op.node)}"
    match op.verb:
        case TxnVerb.SET:
            put_service(transaction, op.node, wanted)
        case TxnVerb.CAS:
            if not _may_set(rows.services.get(transaction, key), wanted.modify_index):
                raise RequestError(f"failed to set {about}, index is stale")
            put_service(transaction, op.node, wanted)
        case TxnVerb.DELETE:
            delete_service(transaction, key)
            return []
        case TxnVerb.DELETE_CAS:
            if not _has_index(rows.services.get(transaction, key), wanted.modify_index):
                raise RequestError(f"failed to delete {about}, index is stale")
            delete_service(transaction, key)
            return []
        case _:
            return read_service(transaction, op)
    stored = rows.services.get(transaction, key)
    return [] if stored is None else [TxnResult(service=stored)]


def read_service(reader: Reader, op: TxnServiceOp) -> Results:
    """Get a service instance. RequestError when there is none, or the verb is another one."""
    if op.verb != TxnVerb.GET:
        raise RequestError(f"unknown Service verb {quote(op.verb)}")
    found = rows.services.get(reader, rows.instance_key(op.node, op.service.id))
    if found is None:
        raise RequestError(f"service {quote(op.service.id)} on node {quote(op.node)} doesn't exist")
    return [TxnResult(service=found)]


# --- checks ---


def apply_check(transaction: Transaction, op: TxnCheckOp) -> Results:
    """Carry out an operation on a check. RequestError when it is refused."""
    wanted, key = op.check, rows.check_key(op.check.node, op.check.check_id)
    about = f"check {quote(wanted.check_id)} on node {quote(wanted.node)}"
    match op.verb:
        case TxnVerb.SET:
            put_check(transaction, wanted)
        case TxnVerb.CAS:
            if not _may_set(rows.checks.get(transaction, key), wanted.modify_index):
                raise RequestError(f"failed to set {about}, index is stale")
            put_check(transaction, wanted)
        case TxnVerb.DELETE:
            delete_check(transaction, key)
            return []
        case TxnVerb.DELETE_CAS:
            if not _has_index(rows.checks.get(transaction, key), wanted.modify_index):
                raise RequestError(f"failed to delete {about}, index is stale")
            delete_check(transaction, key)
            return []
        case _:
            return read_check(transaction, op)
    stored = rows.checks.get(transaction, key)
    return [] if stored is None else [TxnResult(check=stored)]


def read_check(reader: Reader, op: TxnCheckOp) -> Results:
    """Get a check. RequestError when there is none, or the verb is another one."""
    if op.verb != TxnVerb.GET:
        raise RequestError(f"unknown Check verb {quote(op.verb)}")
    found = rows.checks.get(reader, rows.check_key(op.check.node, op.check.check_id))
    if found is None:
        raise RequestError(f"check {quote(op.check.check_id)} on node {quote(op.check.node)} doesn't exist")
    return [TxnResult(check=found)]


def _may_set(existing: RaftIndexed | None, index: int) -> bool:
    return index == (existing.modify_index if existing is not None else 0)


def _has_index(existing: RaftIndexed | None, index: int) -> bool:
    return existing is not None and existing.modify_index == index
