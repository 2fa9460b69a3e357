"""`Coordinate.*`: where agents stand, in this datacenter and servers in all."""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError, RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.state.coordinates import COORDINATES, coordinate_key
from consul_kernel.state.keys import fold
from consul_kernel.state.watches import COORDINATES_OF_NODE, TABLE, Topic
from consul_kernel.structs.coordinate import (
    DIMENSIONS,
    CoordinateUpdateRequest,
    DatacenterMap,
    IndexedCoordinates,
    NodeCoordinate,
)
from consul_kernel.structs.methods import (
    COORDINATE_LIST_DATACENTERS,
    COORDINATE_LIST_NODES,
    COORDINATE_NODE,
    COORDINATE_UPDATE,
)
from consul_kernel.structs.query import DCSpecificRequest, NodeSpecificRequest
from consul_kernel.structs.record import Empty

from .blocking import answer
from .context import EndpointContext


class CoordinateEndpoint:
    """Updates are collected by the leader; reads are answered from the state that this server has applied."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context
        self._coordinates = context.state.coordinates

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(COORDINATE_UPDATE, self.update)
        table.attach(COORDINATE_LIST_DATACENTERS, self.list_datacenters)
        table.attach(COORDINATE_LIST_NODES, self.list_nodes)
        table.attach(COORDINATE_NODE, self.node)

    async def update(self, request: CoordinateUpdateRequest) -> Empty:
        """Take note of where an agent stands; it can be read some seconds later."""
        if request.coord is None or not request.coord.is_finite:
            raise RpcError("invalid coordinate")
        if len(request.coord.vec) != DIMENSIONS:
            raise RpcError("incompatible coordinate")
        # Many updates share a log entry, which nobody's names may spoil for the others.
        try:
            coordinate_key(request.node, request.segment)
            f"{request.node}{request.segment}".encode()
        except (RequestError, UnicodeEncodeError) as error:
            raise RpcError(str(error)) from error
        update = NodeCoordinate(node=request.node, segment=request.segment, coord=request.coord)
        self._context.update_coordinate(update)
        return Empty()

    async def list_datacenters(self, _: Empty) -> list[DatacenterMap]:
        """Where the servers of every datacenter stand in the WAN pool, as this server sees them."""
        return list(self._context.datacenter_maps())

    async def list_nodes(self, request: DCSpecificRequest) -> IndexedCoordinates:
        """Where every node of this datacenter stands."""

        def read() -> IndexedCoordinates:
            index, found = self._coordinates.all()
            return IndexedCoordinates(index=index, coordinates=found or None)

        return await answer(self._context, request, read, lambda: ((TABLE, COORDINATES),))

    async def node(self, request: NodeSpecificRequest) -> IndexedCoordinates:
        """Where one node stands, in each of its segments."""
        topic: Topic = (COORDINATES_OF_NODE, fold(request.node))

        def read() -> IndexedCoordinates:
            index, found = self._coordinates.of_node(request.node)
            return IndexedCoordinates(index=index, coordinates=found or None)

        return await answer(self._context, request, read, lambda: (topic,))
