"""Network coordinates: their rows."""

from __future__ import annotations

from consul_kernel.structs.coordinate import NodeCoordinate

from .keys import fold, pack
from .tables import Table, Writer

coordinates: Table[NodeCoordinate] = Table("coordinates", NodeCoordinate)
"""By (node, segment)."""


def coordinate_key(node: str, segment: str) -> bytes:
    """Key of a coordinate; that of the first component alone is the prefix of a node's."""
    return pack(fold(node), fold(segment))


def put_coordinate(writer: Writer, coordinate: NodeCoordinate) -> None:
    """Set where a node stands."""
    coordinates.put(writer, coordinate_key(coordinate.node, coordinate.segment), coordinate)
