"""Transactions: operations in order, each of which sees what those before it wrote.

When one is refused the others are still tried, so that all errors are told, and then nothing of it has happened.
(Consul's documentation: "Transactions"; `agent/consul/state/txn.go`.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.txn import (
    TxnError,
    TxnOp,
    TxnRequest,
    TxnResponse,
    TxnResult,
    TxnSessionOp,
    TxnVerb,
)

from .session_commands import destroy_session
from .tables import Reader
from .transaction import Transaction
from .txn_catalog import apply_check, apply_node, apply_service, read_check, read_node, read_service
from .txn_kv import apply_kv, read_kv

NOTHING_TO_DO = "no operation specified"

Results = list[TxnResult]
Outcome = tuple[Results | None, list[TxnError] | None]
"""Results, or errors."""


def apply_txn(transaction: Transaction, request: TxnRequest) -> TxnResponse:
    """Carry out a transaction, whole or not at all. What was refused is in the answer."""
    results, errors = _run(request.ops or (), lambda op: _apply(transaction, op))
    if errors:
        transaction.rollback()
    return TxnResponse(results=results, errors=errors)


def read_txn(reader: Reader, ops: Sequence[TxnOp]) -> Outcome:
    """Answer a transaction without writes; what would write is refused."""
    return _run(ops, lambda op: _read(reader, op))


def _run(ops: Sequence[TxnOp], carry_out: Callable[[TxnOp], Results]) -> Outcome:
    results: Results = []
    errors: list[TxnError] = []
    for number, op in enumerate(ops):
        try:
            results += carry_out(op)
        except RequestError as error:
            errors.append(TxnError(op_index=number, what=str(error)))
    return (None, errors) if errors else (results, None)


def _apply(transaction: Transaction, op: TxnOp) -> Results:
    if op.kv is not None:
        return apply_kv(transaction, op.kv)
    if op.node is not None:
        return apply_node(transaction, op.node)
    if op.service is not None:
        return apply_service(transaction, op.service)
    if op.check is not None:
        return apply_check(transaction, op.check)
    if op.session is not None:
        return _apply_session(transaction, op.session)
    raise RequestError(NOTHING_TO_DO)


def _read(reader: Reader, op: TxnOp) -> Results:
    if op.kv is not None:
        return read_kv(reader, op.kv)
    if op.node is not None:
        return read_node(reader, op.node)
    if op.service is not None:
        return read_service(reader, op.service)
    if op.check is not None:
        return read_check(reader, op.check)
    if op.session is not None:
        raise RequestError(f'unknown Session verb "{op.session.verb}"')
    raise RequestError(NOTHING_TO_DO)


def _apply_session(transaction: Transaction, op: TxnSessionOp) -> Results:
    if op.verb != TxnVerb.DELETE:
        raise RequestError(f'unknown Session verb "{op.verb}"')
    destroy_session(transaction, op.session.id)
    return []
