"""`/v1/internal/ui`: what Consul's own user interface, and others that read as it does, ask for."""

from __future__ import annotations

from typing import TypeVar

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.config_entry import ConfigEntry, ConfigEntryQuery
from consul_kernel.structs.methods import (
    CATALOG_SERVICE_NODES,
    CONFIG_ENTRY_GET,
    INTERNAL_NODE_DUMP,
    INTERNAL_NODE_INFO,
    INTERNAL_SERVICE_DUMP,
    Method,
)
from consul_kernel.structs.query import (
    DCSpecificRequest,
    NodeSpecificRequest,
    QueryMeta,
    QueryOptions,
    ServiceSpecificRequest,
)
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.options import quoted, read_options
from consul_kernel_http.reads import meta_head, read
from consul_kernel_http.views.internal import ServiceTopologyView, node_info_view, summarise

from .catalog import MISSING_NODE, MISSING_SERVICE

RequestT = TypeVar("RequestT", bound=QueryOptions)
ReplyT = TypeVar("ReplyT", bound=QueryMeta)

MISSING_GATEWAY = "Missing gateway name"
_NO_LEADER = "No cluster leader"
"""Consul's wire knows errors by their text alone."""
_DEFAULT_PROTOCOL = "tcp"
_TOPOLOGY_KINDS = ("", "ingress-gateway")

NO_TOPOLOGY = ServiceTopologyView()


async def nodes(exchange: Exchange) -> Answer:
    """All nodes with their services and checks."""
    reply = await _read(exchange, INTERNAL_NODE_DUMP, read_options(exchange, DCSpecificRequest()))
    return exchange.json([node_info_view(info) for info in reply.dump or []], meta_head(reply))


async def node(exchange: Exchange) -> Answer:
    """One node with its services and checks; 404 for an unknown one, without the headers of a read."""
    request = read_options(exchange, NodeSpecificRequest(node=exchange.suffix))
    if not request.node:
        raise BadRequestError(MISSING_NODE)
    reply = await _read(exchange, INTERNAL_NODE_INFO, request)
    if not reply.dump:
        return exchange.empty(status=404)
    return exchange.json(node_info_view(reply.dump[0]), meta_head(reply))


async def services(exchange: Exchange) -> Answer:
    """All services, one line each."""
    reply = await _read(exchange, INTERNAL_SERVICE_DUMP, read_options(exchange, DCSpecificRequest()))
    return exchange.json(summarise(reply.nodes or []), meta_head(reply))


async def gateway_services(exchange: Exchange) -> Answer:
    """The services behind a gateway: none, since the mesh is off."""
    return await _nothing_of(exchange, MISSING_GATEWAY)


async def gateway_intentions(exchange: Exchange) -> Answer:
    """The intentions about the services behind a gateway: none."""
    return await _nothing_of(exchange, MISSING_GATEWAY)


async def _nothing_of(exchange: Exchange, missing: str) -> Answer:
    reply = await _mesh_index(exchange, missing)
    return exchange.json([], meta_head(reply))


async def topology(exchange: Exchange) -> Answer:
    """Which services a service calls through the mesh, and which call it: none either way."""
    if not exchange.suffix:
        raise BadRequestError(MISSING_SERVICE)
    if "kind" not in exchange.query:
        raise BadRequestError("Missing service kind")
    kind = exchange.query.get("kind")
    if kind not in _TOPOLOGY_KINDS:
        raise BadRequestError(f"Unsupported service kind {quoted(kind)}")
    reply = await _mesh_index(exchange, MISSING_SERVICE)
    view = ServiceTopologyView(protocol=await _protocol(exchange)) if not kind else NO_TOPOLOGY
    return exchange.json(view, meta_head(reply))


async def _protocol(exchange: Exchange) -> str:
    """What a service speaks: by its own defaults, else by those of all proxies (configuration entries)."""
    defaults = await _entry(exchange, "service-defaults", exchange.suffix)
    if defaults is not None:
        protocol = defaults.settings.get("Protocol")
    else:
        proxies = await _entry(exchange, "proxy-defaults", "global")
        config = None if proxies is None else proxies.settings.get("Config")
        protocol = config.get("protocol") if isinstance(config, dict) else None
    return protocol.lower() if isinstance(protocol, str) and protocol else _DEFAULT_PROTOCOL


async def _entry(exchange: Exchange, kind: str, name: str) -> ConfigEntry | None:
    """A configuration entry as it is now: only the catalog is waited for."""
    request = read_options(exchange, ConfigEntryQuery(kind=kind, name=name))
    request.filter, request.min_query_index = "", 0
    return (await _read(exchange, CONFIG_ENTRY_GET, request)).entry


async def metrics_proxy(exchange: Exchange) -> Answer:
    """There is no user interface, and so no metrics to be shown in it."""
    raise HttpError(404, "UI is not enabled")


async def _mesh_index(exchange: Exchange, missing: str) -> QueryMeta:
    """What a read about the mesh says of itself; it changes with the catalog."""
    request = read_options(exchange, ServiceSpecificRequest(service_name=exchange.suffix, connect=True))
    if not request.service_name:
        raise BadRequestError(missing)
    request.filter = ""
    return await _read(exchange, CATALOG_SERVICE_NODES, request)


async def _read(exchange: Exchange, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT:
    """A user interface shows rather what a server last knew than nothing at all: without a leader, any will do."""
    try:
        return await read(exchange, method, request)
    except RpcError as error:
        if _NO_LEADER not in str(error) or request.allow_stale:
            raise
        request.allow_stale, request.require_consistent = True, False
        return await read(exchange, method, request)
