"""`/v1/coordinate`."""

from __future__ import annotations

from consul_kernel.structs.coordinate import CoordinateUpdateRequest, NodeCoordinate
from consul_kernel.structs.methods import (
    COORDINATE_LIST_DATACENTERS,
    COORDINATE_LIST_NODES,
    COORDINATE_NODE,
    COORDINATE_UPDATE,
)
from consul_kernel.structs.query import DCSpecificRequest, NodeSpecificRequest
from consul_kernel.structs.record import Empty
from consul_kernel_http.answer import Answer
from consul_kernel_http.body import decode_body
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.options import read_options
from consul_kernel_http.reads import meta_head, read
from consul_kernel_http.views.coordinate import datacenter_map_view, node_coordinate_view

DISABLED = "Coordinate support disabled"


async def datacenters(exchange: Exchange) -> Answer:
    """Where the servers of every datacenter stand in the WAN pool."""
    _refuse_if_disabled(exchange)
    maps = await exchange.agent.call(COORDINATE_LIST_DATACENTERS, Empty())
    return exchange.json([datacenter_map_view(one) for one in maps])


async def nodes(exchange: Exchange) -> Answer:
    """Where every node of the datacenter stands; with `segment`, those of one segment."""
    _refuse_if_disabled(exchange)
    reply = await read(exchange, COORDINATE_LIST_NODES, read_options(exchange, DCSpecificRequest()))
    return exchange.json(_views(exchange, reply.coordinates), meta_head(reply))


async def node(exchange: Exchange) -> Answer:
    """Where one node stands; 404 where that is not known."""
    _refuse_if_disabled(exchange)
    request = read_options(exchange, NodeSpecificRequest(node=exchange.suffix))
    reply = await read(exchange, COORDINATE_NODE, request)
    found = _views(exchange, reply.coordinates)
    if not found:
        return exchange.empty(status=404)  # without the headers of a read, as Consul's
    return exchange.json(found, meta_head(reply))


async def update(exchange: Exchange) -> Answer:
    """Tell where a node stands; it can be read some seconds later."""
    _refuse_if_disabled(exchange)
    request = await decode_body(exchange, CoordinateUpdateRequest)
    if request.coord is None:
        raise BadRequestError("Missing coordinate")
    request.datacenter = request.datacenter or exchange.datacenter()
    request.token = exchange.token()
    await exchange.agent.call(COORDINATE_UPDATE, request)
    return exchange.empty()


def _refuse_if_disabled(exchange: Exchange) -> None:
    if exchange.site.http.disable_coordinates:
        raise HttpError(401, DISABLED)


def _views(exchange: Exchange, found: list[NodeCoordinate] | None) -> list[object]:
    segment = exchange.query.get("segment") if "segment" in exchange.query else None
    return [node_coordinate_view(entry) for entry in found or [] if segment is None or entry.segment == segment]
