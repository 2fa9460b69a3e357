"""`/v1/catalog`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.methods import (
    CATALOG_DEREGISTER,
    CATALOG_LIST_DATACENTERS,
    CATALOG_LIST_NODES,
    CATALOG_LIST_SERVICES,
    CATALOG_NODE_SERVICE_LIST,
    CATALOG_NODE_SERVICES,
    CATALOG_REGISTER,
    CATALOG_SERVICE_NODES,
)
from consul_kernel.structs.query import DCSpecificRequest, NodeSpecificRequest, QueryOptions, ServiceSpecificRequest
from consul_kernel_http.answer import Answer
from consul_kernel_http.body import decode_body
from consul_kernel_http.exchange import Endpoint, Exchange
from consul_kernel_http.failures import BadRequestError, failure_of
from consul_kernel_http.options import apply_node_meta, apply_source, read_options
from consul_kernel_http.reads import UNKNOWN_META_HEAD, consistency_head, meta_head, read, read_cached
from consul_kernel_http.views.node import node_service_list_view, node_services_view, node_view
from consul_kernel_http.views.service import service_node_view

MISSING_NODE = "Missing node name"
MISSING_SERVICE = "Missing service name"


def tells_meta(endpoint: Callable[[Exchange], Awaitable[Answer]]) -> Endpoint:
    """An endpoint whose failures carry the headers of a read, too, unless the request itself was wrong."""

    async def answer(exchange: Exchange) -> Answer:
        try:
            return await endpoint(exchange)
        except BadRequestError:
            raise
        except ConsulKernelError as error:
            failure = failure_of(error)
            failure.headers = UNKNOWN_META_HEAD + failure.headers
            raise failure from error

    return answer


async def register(exchange: Exchange) -> Answer:
    """Register a node, and with it a service and checks."""
    request = await decode_body(exchange, RegisterRequest)
    request.datacenter = request.datacenter or exchange.agent.datacenter
    request.token = exchange.token()
    await exchange.agent.call(CATALOG_REGISTER, request)
    return exchange.done()


async def deregister(exchange: Exchange) -> Answer:
    """Deregister a service, a check or a node."""
    request = await decode_body(exchange, DeregisterRequest)
    request.datacenter = request.datacenter or exchange.agent.datacenter
    request.token = exchange.token()
    await exchange.agent.call(CATALOG_DEREGISTER, request)
    return exchange.json(True)


async def datacenters(exchange: Exchange) -> Answer:
    """The known datacenters, nearest first, as a server of this one sees them, whatever `?dc` says."""
    request = read_options(exchange, QueryOptions())
    request.datacenter = ""
    return exchange.json(await exchange.agent.call(CATALOG_LIST_DATACENTERS, request))


async def nodes(exchange: Exchange) -> Answer:
    """All nodes."""
    request = DCSpecificRequest()
    apply_source(exchange, request)
    apply_node_meta(exchange, request)
    reply = await read(exchange, CATALOG_LIST_NODES, read_options(exchange, request))
    head = meta_head(reply) + consistency_head(request)
    return exchange.json([node_view(node) for node in reply.nodes or []], head)


async def services(exchange: Exchange) -> Answer:
    """All service names with their tags."""
    request = DCSpecificRequest()
    apply_node_meta(exchange, request)
    reply, cache_head = await read_cached(exchange, CATALOG_LIST_SERVICES, read_options(exchange, request))
    head = meta_head(reply) + consistency_head(request) + cache_head
    return exchange.json(reply.services or {}, head)


async def service_nodes(exchange: Exchange) -> Answer:
    """The instances of a service."""
    return await _service_nodes(exchange, connect=False)


async def connect_nodes(exchange: Exchange) -> Answer:
    """The mesh-capable instances of a service."""
    return await _service_nodes(exchange, connect=True)


async def _service_nodes(exchange: Exchange, *, connect: bool) -> Answer:
    request = ServiceSpecificRequest(connect=connect)
    apply_service(exchange, request)
    read_options(exchange, request)
    if not request.service_name:
        raise BadRequestError(MISSING_SERVICE)
    reply, cache_head = await read_cached(exchange, CATALOG_SERVICE_NODES, request)
    head = meta_head(reply) + consistency_head(request) + cache_head
    return exchange.json([service_node_view(node) for node in reply.service_nodes or []], head)


def apply_service(exchange: Exchange, request: ServiceSpecificRequest) -> None:
    """The service's name and the parameters that narrow it."""
    request.service_name = exchange.suffix
    apply_source(exchange, request)
    apply_node_meta(exchange, request)
    if "tag" in exchange.query:
        request.service_tags = exchange.query.all("tag")
        request.tag_filter = True


async def gateway_services(exchange: Exchange) -> Answer:
    """The services behind a gateway: none, since no gateway can be registered. Its index is the catalog's."""
    request = ServiceSpecificRequest(service_name=exchange.suffix, connect=True)
    read_options(exchange, request)
    if not request.service_name:
        raise BadRequestError("Missing gateway name")
    reply = await read(exchange, CATALOG_SERVICE_NODES, request)
    return exchange.json(None, meta_head(reply) + consistency_head(request))


async def node_services(exchange: Exchange) -> Answer:
    """A node and its services by id; `null` for an unknown node."""
    request = _node_request(exchange)
    reply = await read(exchange, CATALOG_NODE_SERVICES, request)
    head = meta_head(reply) + consistency_head(request)
    found = reply.node_services
    return exchange.json(node_services_view(found) if found is not None else None, head)


async def node_service_list(exchange: Exchange) -> Answer:
    """A node and its services as a list."""
    request = _node_request(exchange)
    reply, cache_head = await read_cached(exchange, CATALOG_NODE_SERVICE_LIST, request)
    head = meta_head(reply) + consistency_head(request) + cache_head
    return exchange.json(node_service_list_view(reply.node_services), head)


def _node_request(exchange: Exchange) -> NodeSpecificRequest:
    request = read_options(exchange, NodeSpecificRequest(node=exchange.suffix))
    if not request.node:
        raise BadRequestError(MISSING_NODE)
    return request
