"""`/v1/txn`."""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.go_quote import quote
from consul_kernel.structs.methods import TXN_APPLY, TXN_READ
from consul_kernel.structs.query import QueryOptions
from consul_kernel.structs.txn import TxnReadRequest, TxnRequest
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.options import read_options
from consul_kernel_http.reads import known_head, read
from consul_kernel_http.txn_body import BodyOp, decode_ops, is_write, to_txn_ops
from consul_kernel_http.views.txn import txn_read_view, txn_view

MAX_OPS = 64
CONFLICT = 409


async def txn(exchange: Exchange) -> Answer:
    """Carry out a transaction; without writes it is a read, of the consistency that is asked for."""
    options = read_options(exchange, TxnReadRequest())
    ops = await _read_ops(exchange)
    options.ops = to_txn_ops(ops)
    if any(map(is_write, ops)):
        request = TxnRequest(datacenter=options.datacenter, token=options.token, ops=options.ops)
        reply = await exchange.agent.call(TXN_APPLY, request)
        return exchange.json(txn_view(reply), status=CONFLICT if reply.errors else 200)
    _forget_waiting(options)
    found = await read(exchange, TXN_READ, options)
    return exchange.json(txn_read_view(found), known_head(found), status=CONFLICT if found.errors else 200)


async def _read_ops(exchange: Exchange) -> list[BodyOp]:
    limits = exchange.site.limits
    body = await exchange.body(max(limits.txn_max_req_len, limits.kv_max_value_size), "txn_max_req_len")
    try:
        ops = decode_ops(body)
        if len(ops) > MAX_OPS:
            raise HttpError(413, f"Transaction contains too many operations ({len(ops)} > {MAX_OPS})")
        for op in ops:
            size = len(op.kv.value or b"") if op.kv is not None else 0
            if op.kv is not None and size > limits.kv_max_value_size:
                about = f"{quote(op.kv.key)} is too large ({size} > {limits.kv_max_value_size} bytes)"
                raise HttpError(413, f"Value for key {about}")
    except RequestError as error:
        raise BadRequestError(f"Failed to parse body: {error}") from None
    return ops


def _forget_waiting(options: QueryOptions) -> None:
    """A transaction never waits for a change."""
    options.min_query_index = options.max_query_time = 0
