"""`/v1/health`."""

from __future__ import annotations

from consul_kernel.structs.check import CheckStatus
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.methods import (
    HEALTH_CHECKS_IN_STATE,
    HEALTH_NODE_CHECKS,
    HEALTH_SERVICE_CHECKS,
    HEALTH_SERVICE_NODES,
)
from consul_kernel.structs.query import ChecksInStateRequest, NodeSpecificRequest, ServiceSpecificRequest
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError
from consul_kernel_http.options import apply_node_meta, apply_source, read_options
from consul_kernel_http.reads import consistency_head, meta_head, read, read_at_once, read_cached
from consul_kernel_http.views.check import check_view
from consul_kernel_http.views.node import CheckServiceNodeView, check_service_node_view

from .catalog import MISSING_NODE, MISSING_SERVICE, apply_service

_PASSING = CheckStatus.PASSING.value
_GO_TRUE = frozenset({"", "1", "t", "T", "TRUE", "true", "True"})
_GO_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


async def node_checks(exchange: Exchange) -> Answer:
    """The checks of a node."""
    request = read_options(exchange, NodeSpecificRequest(node=exchange.suffix))
    if not request.node:
        raise BadRequestError(MISSING_NODE)
    reply = await read(exchange, HEALTH_NODE_CHECKS, request)
    head = meta_head(reply) + consistency_head(request)
    return exchange.json([check_view(check) for check in reply.health_checks or []], head)


async def service_checks(exchange: Exchange) -> Answer:
    """The checks of a service's instances."""
    request = ServiceSpecificRequest(service_name=exchange.suffix)
    apply_source(exchange, request)
    apply_node_meta(exchange, request)
    read_options(exchange, request)
    if not request.service_name:
        raise BadRequestError(MISSING_SERVICE)
    reply = await read(exchange, HEALTH_SERVICE_CHECKS, request)
    head = meta_head(reply) + consistency_head(request)
    return exchange.json([check_view(check) for check in reply.health_checks or []], head)


async def state_checks(exchange: Exchange) -> Answer:
    """All checks in one state, or in `any`."""
    request = ChecksInStateRequest(state=exchange.suffix)
    apply_source(exchange, request)
    apply_node_meta(exchange, request)
    read_options(exchange, request)
    if not request.state:
        raise BadRequestError("Missing check state")
    reply = await read(exchange, HEALTH_CHECKS_IN_STATE, request)
    head = meta_head(reply) + consistency_head(request)
    return exchange.json([check_view(check) for check in reply.health_checks or []], head)


async def service_nodes(exchange: Exchange) -> Answer:
    """The instances of a service with their nodes and checks."""
    return await _service_nodes(exchange, ServiceSpecificRequest())


async def connect_nodes(exchange: Exchange) -> Answer:
    """The mesh-capable instances of a service."""
    return await _service_nodes(exchange, ServiceSpecificRequest(connect=True))


async def ingress_nodes(exchange: Exchange) -> Answer:
    """The ingress gateways of a service."""
    return await _service_nodes(exchange, ServiceSpecificRequest(ingress=True))


async def _service_nodes(exchange: Exchange, request: ServiceSpecificRequest) -> Answer:
    apply_service(exchange, request)
    read_options(exchange, request)
    if not request.service_name:
        raise BadRequestError(MISSING_SERVICE)
    reply, cache_head = read_at_once(exchange, HEALTH_SERVICE_NODES, request), b""
    if reply is None:
        reply, cache_head = await read_cached(exchange, HEALTH_SERVICE_NODES, request)
    head = meta_head(reply, streaming=_streams(request)) + consistency_head(request) + cache_head
    nodes = reply.nodes or []
    if "passing" in exchange.query and _wants_passing(exchange, head):
        return exchange.shared_json(nodes, "passing", lambda: _views([node for node in nodes if _passes(node)]), head)
    return exchange.shared_json(nodes, "all", lambda: _views(nodes), head)


def _views(nodes: list[CheckServiceNode]) -> list[CheckServiceNodeView]:
    return [check_service_node_view(node) for node in nodes]


def _streams(request: ServiceSpecificRequest) -> bool:
    """Whether Consul would answer from a subscription; it says so in a header, and ours wakes as narrowly."""
    return (request.min_query_index > 0 or request.use_cache) and not request.ingress and not request.source.node


def _wants_passing(exchange: Exchange, head: bytes) -> bool:
    value = exchange.query.get("passing")
    if value in _GO_TRUE:
        return True
    if value in _GO_FALSE:
        return False
    raise BadRequestError("Invalid value for ?passing", headers=head)


def _passes(node: CheckServiceNode) -> bool:
    for check in node.checks:  # noqa: SIM110 - all() with a generator takes thrice the time
        if check.status != _PASSING:
            return False
    return True
