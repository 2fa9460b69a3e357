"""`/v1/query`."""

from __future__ import annotations

import ipaddress

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.structs.methods import (
    PREPARED_QUERY_APPLY,
    PREPARED_QUERY_EXECUTE,
    PREPARED_QUERY_EXPLAIN,
    PREPARED_QUERY_GET,
    PREPARED_QUERY_LIST,
    Method,
)
from consul_kernel.structs.prepared_query import (
    PreparedQuery,
    PreparedQueryExecuteRequest,
    PreparedQueryOp,
    PreparedQueryRequest,
    PreparedQuerySpecificRequest,
)
from consul_kernel.structs.query import DCSpecificRequest, QuerySource
from consul_kernel_http.answer import Answer
from consul_kernel_http.body import decode_body
from consul_kernel_http.exchange import Endpoint, Exchange
from consul_kernel_http.failures import HttpError, MethodNotAllowedError, failure_of
from consul_kernel_http.feed import streams
from consul_kernel_http.feed_items import by_fields
from consul_kernel_http.go_numbers import GoNumberError, parse_bool, parse_int
from consul_kernel_http.options import read_options
from consul_kernel_http.reads import (
    UNKNOWN_META_HEAD,
    ReplyT,
    RequestT,
    consistency_head,
    consistency_level,
    meta_head,
    read,
    read_kept,
)
from consul_kernel_http.views.query import execute_view, explain_view, query_view

QUERY_NOT_FOUND = "Query not found"
EXECUTE = "/execute"
EXPLAIN = "/explain"
OF_AGENT = "_agent"


async def create(exchange: Exchange) -> Answer:
    """Create a query; the answer is its id."""
    query = await decode_body(exchange, PreparedQuery)
    query_id = await exchange.agent.call(PREPARED_QUERY_APPLY, _write_request(exchange, PreparedQueryOp.CREATE, query))
    return exchange.json({"ID": query_id})


async def list_queries(exchange: Exchange) -> Answer:
    """All queries."""
    request = read_options(exchange, DCSpecificRequest())
    reply = await read(exchange, PREPARED_QUERY_LIST, request)
    head = meta_head(reply) + consistency_head(request)
    return exchange.json([query_view(query) for query in reply.queries or []], head)


async def one(exchange: Exchange) -> Answer:
    """Whatever is asked of one query: to read, change, delete, execute or explain it."""
    action = _action(exchange.path)
    methods = _ACTIONS[action]
    endpoint = methods.get(exchange.method)
    if endpoint is not None:
        return await endpoint(exchange)
    if exchange.method == "OPTIONS":
        allow = ",".join(("OPTIONS", *methods)).encode()
        return exchange.json({}, b"Allow: " + allow + b"\r\n")
    # Unlike elsewhere, Consul does not count OPTIONS among the methods here.
    failure = MethodNotAllowedError(exchange.method, tuple(methods))
    failure.headers = f"Allow: {','.join(methods)}\r\n".encode()
    raise failure


async def _get(exchange: Exchange) -> Answer:
    request = read_options(exchange, PreparedQuerySpecificRequest(query_id=exchange.suffix))
    reply = await _read(exchange, PREPARED_QUERY_GET, request)
    head = meta_head(reply) + consistency_head(request)
    return exchange.json([query_view(query) for query in reply.queries or []], head)


async def _update(exchange: Exchange) -> Answer:
    """The id is that of the path, whatever the body says."""
    query = await decode_body(exchange, PreparedQuery) if exchange.request.can_read_body else PreparedQuery()
    query.id = exchange.suffix
    await exchange.agent.call(PREPARED_QUERY_APPLY, _write_request(exchange, PreparedQueryOp.UPDATE, query))
    return exchange.empty()


async def _delete(exchange: Exchange) -> Answer:
    query = PreparedQuery(id=exchange.suffix)
    await exchange.agent.call(PREPARED_QUERY_APPLY, _write_request(exchange, PreparedQueryOp.DELETE, query))
    return exchange.empty()


async def _execute(exchange: Exchange) -> Answer:
    """Look the instances up; none of the parameters that make a read wait has an effect."""
    request = _execute_request(exchange, EXECUTE)
    connect = exchange.query.get("connect")
    try:
        request.connect = bool(connect) and parse_bool(connect)
    except GoNumberError as error:
        raise HttpError(500, f"Error parsing 'connect' value: {error}") from None
    try:
        reply, cache_head = await read_kept(exchange, PREPARED_QUERY_EXECUTE, request)
    except ConsulKernelError as error:
        raise _failure(error) from error
    head = meta_head(reply) + consistency_head(request) + cache_head
    return exchange.json(execute_view(reply, consistency_level(request)), head)


async def _explain(exchange: Exchange) -> Answer:
    request = _execute_request(exchange, EXPLAIN)
    reply = await _read(exchange, PREPARED_QUERY_EXPLAIN, request)
    head = meta_head(reply) + consistency_head(request)
    return exchange.json(explain_view(reply, consistency_level(request)), head)


_ACTIONS: dict[str, dict[str, Endpoint]] = {
    EXECUTE: {"GET": _execute},
    EXPLAIN: {"GET": _explain},
    "": {"GET": streams(_get, by_fields("ID")), "PUT": _update, "DELETE": _delete},
}


def _action(path: str) -> str:
    return next((action for action in (EXECUTE, EXPLAIN) if path.endswith(action)), "")


def _execute_request(exchange: Exchange, action: str) -> PreparedQueryExecuteRequest:
    agent = exchange.agent
    request = PreparedQueryExecuteRequest(
        query_id_or_name=exchange.suffix.removesuffix(action),
        agent=QuerySource(node=agent.node_name, datacenter=agent.datacenter),
        source=_source(exchange),
    )
    read_options(exchange, request)
    request.min_query_index = request.max_query_time = 0
    limit = exchange.query.get("limit")
    try:
        request.limit = parse_int(limit) if limit else 0
    except GoNumberError as error:
        raise HttpError(500, f"Bad limit: {error}") from None
    return request


def _source(exchange: Exchange) -> QuerySource:
    """`?near`, and the address of who asks, which the query may be near to."""
    near = exchange.query.get("near")
    node = exchange.agent.node_name if near == OF_AGENT else near
    return QuerySource(datacenter=exchange.datacenter(), node=node, ip=_address_of(exchange))


def _address_of(exchange: Exchange) -> str:
    """That which the first proxy tells, else the connection's; "" for a socket that has none."""
    forwarded = exchange.request.headers.get("X-Forwarded-For", "").partition(",")[0].strip()
    for text in (forwarded, exchange.request.remote or ""):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            continue
    return ""


async def _read(exchange: Exchange, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT:
    try:
        return await read(exchange, method, request)
    except ConsulKernelError as error:
        raise _failure(error) from error


def _failure(error: ConsulKernelError) -> HttpError:
    """404 for a query that is not there, which says nothing of the read; of others the answer does."""
    if QUERY_NOT_FOUND in str(error):
        return HttpError(404, str(error))
    failure = failure_of(error)
    failure.headers = UNKNOWN_META_HEAD + failure.headers
    return failure


def _write_request(exchange: Exchange, op: PreparedQueryOp, query: PreparedQuery) -> PreparedQueryRequest:
    return PreparedQueryRequest(datacenter=exchange.datacenter(), token=exchange.token(), op=op, query=query)
