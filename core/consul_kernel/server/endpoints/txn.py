"""`Txn.*`: several operations that take effect together, or not at all."""

from __future__ import annotations

from msgspec.structs import replace

from consul_kernel.contracts.errors import RequestError, RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.state.commands import CommandType
from consul_kernel.state.txn import read_txn
from consul_kernel.structs.go_quote import quote
from consul_kernel.structs.methods import TXN_APPLY, TXN_READ
from consul_kernel.structs.txn import (
    TxnCheckOp,
    TxnError,
    TxnKVOp,
    TxnKVVerb,
    TxnNodeOp,
    TxnOp,
    TxnReadRequest,
    TxnReadResponse,
    TxnRequest,
    TxnResponse,
    TxnServiceOp,
    TxnVerb,
)

from .blocking import describe
from .context import EndpointContext
from .registering import prepare_service, require_node

MUST_PROVIDE_KEY = "Must provide key"


class TxnEndpoint:
    """What is wrong in itself is told before anything is proposed, the rest by the state machine: each error with its

    operation. Neither is a failure of the call.
    """

    def __init__(self, context: EndpointContext) -> None:
        self._context = context

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(TXN_APPLY, self.apply)
        table.attach(TXN_READ, self.read)

    async def apply(self, request: TxnRequest) -> TxnResponse:
        """Carry out a transaction through the log."""
        ops, errors = self._prepare(request.ops or [])
        if errors:
            return TxnResponse(errors=errors)
        done = await self._context.propose(CommandType.TXN, replace(request, ops=ops), refused="raft apply failed: ")
        return done if isinstance(done, TxnResponse) else TxnResponse(results=[])

    async def read(self, request: TxnReadRequest) -> TxnReadResponse:
        """Answer a transaction without writes, from the state that this server has applied."""
        if request.require_consistent:
            await self._context.leader_check.passed()
        ops, errors = self._prepare(request.ops or [])
        if errors:
            return describe(self._context, TxnReadResponse(errors=errors))
        try:
            results, refusals = read_txn(self._context.state.reader, ops)
        except RequestError as error:
            raise RpcError(str(error)) from error
        return describe(self._context, TxnReadResponse(results=results, errors=refusals))

    def _prepare(self, ops: list[TxnOp]) -> tuple[list[TxnOp], list[TxnError]]:
        """The operations as they go into the log, and what is wrong with them."""
        prepared: list[TxnOp] = []
        errors: list[TxnError] = []
        for number, op in enumerate(ops):
            try:
                prepared.append(self._prepare_one(op))
            except RpcError as error:
                errors.append(TxnError(op_index=number, what=str(error)))
        return prepared, errors

    def _prepare_one(self, op: TxnOp) -> TxnOp:
        if op.kv is not None:
            self._require_key(op.kv)
        elif op.node is not None:
            return TxnOp(node=self._prepare_node(op.node))
        elif op.service is not None:
            return TxnOp(service=_prepare_service(op.service))
        elif op.check is not None:
            return TxnOp(check=_prepare_check(op.check))
        return op

    def _require_key(self, op: TxnKVOp) -> None:
        key = op.dir_ent.key
        if not key and op.verb != TxnKVVerb.DELETE_TREE:
            raise RpcError(MUST_PROVIDE_KEY)
        if op.verb == TxnKVVerb.LOCK and self._context.state.lock_delays.holds(key):
            raise RpcError(f"failed to lock key {quote(key)} due to lock delay")

    def _prepare_node(self, op: TxnNodeOp) -> TxnNodeOp:
        if op.verb == TxnVerb.GET:
            return op
        require_node(op.node.node, op.node.id)
        return replace(op, node=replace(op.node, datacenter=op.node.datacenter or self._context.datacenter))


def _prepare_service(op: TxnServiceOp) -> TxnServiceOp:
    return op if op.verb == TxnVerb.GET else replace(op, service=prepare_service(op.service))


def _prepare_check(op: TxnCheckOp) -> TxnCheckOp:
    check = op.check
    if op.verb == TxnVerb.GET or check.check_id:
        return op
    if not check.name:
        raise RpcError("Must provide check ID or name")
    return replace(op, check=replace(check, check_id=check.name))
