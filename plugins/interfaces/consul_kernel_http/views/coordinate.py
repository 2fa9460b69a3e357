"""Network coordinates, with their fields in Consul's order."""

from __future__ import annotations

import msgspec

from consul_kernel.structs.coordinate import Coordinate, DatacenterMap, NodeCoordinate
from consul_kernel.structs.record import go_name
from consul_kernel_http.gojson import number


class CoordinateView(msgspec.Struct, rename=go_name, gc=False):
    """A place, in seconds."""

    vec: list[msgspec.Raw]
    error: msgspec.Raw
    adjustment: msgspec.Raw
    height: msgspec.Raw


class NodeCoordinateView(msgspec.Struct, rename=go_name, gc=False):
    """Where a node stands."""

    node: str
    segment: str
    coord: CoordinateView


class DatacenterMapView(msgspec.Struct, gc=False):
    """Where the servers of a datacenter stand."""

    datacenter: str = msgspec.field(name="Datacenter")
    area_id: str = msgspec.field(name="AreaID")
    coordinates: list[NodeCoordinateView] = msgspec.field(name="Coordinates")


def node_coordinate_view(entry: NodeCoordinate) -> NodeCoordinateView:
    """One node's."""
    return NodeCoordinateView(entry.node, entry.segment, _coordinate_view(entry.coord))


def datacenter_map_view(entry: DatacenterMap) -> DatacenterMapView:
    """One datacenter's."""
    return DatacenterMapView(
        entry.datacenter, entry.area_id, [node_coordinate_view(node) for node in entry.coordinates or []]
    )


def _coordinate_view(place: Coordinate) -> CoordinateView:
    return CoordinateView(
        [number(part) for part in place.vec], number(place.error), number(place.adjustment), number(place.height)
    )
