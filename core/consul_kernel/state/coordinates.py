"""Network coordinates of the agents of this datacenter: their rows, batches of updates, and what is asked of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from consul_kernel.structs.coordinate import CoordinateBatch, NodeCoordinate

from . import catalog_tables
from .keys import fold, pack
from .tables import Reader, Table, Writer, bump_index, table_index
from .transaction import Transaction
from .watches import COORDINATES_OF_NODE, TABLE

COORDINATES = b"coordinates"

coordinates: Table[NodeCoordinate] = Table("coordinates", NodeCoordinate)
"""By (node, segment)."""


def coordinate_key(node: str, segment: str) -> bytes:
    """Key of a coordinate; that of the first component alone is the prefix of a node's."""
    return pack(fold(node), fold(segment))


def put_coordinate(writer: Writer, coordinate: NodeCoordinate) -> None:
    """Set where a node stands."""
    coordinates.put(writer, coordinate_key(coordinate.node, coordinate.segment), coordinate)


def update_coordinates(transaction: Transaction, batch: CoordinateBatch) -> None:
    """Set where agents stand. Those that are no nodes of the catalog are passed over: they may just have left it."""
    for update in batch.updates:
        node = catalog_tables.nodes.get(transaction, catalog_tables.node_key(update.node))
        if node is not None:
            put_coordinate(transaction, update)
            _touch(transaction, update.node)


def delete_coordinates(transaction: Transaction, node: str) -> None:
    """Forget where a node stands, since it is gone."""
    for key, _ in list(coordinates.scan(transaction, pack(fold(node)))):
        coordinates.delete(transaction, key)
        _touch(transaction, node)


def _touch(transaction: Transaction, node: str) -> None:
    bump_index(transaction, COORDINATES)
    transaction.touch(TABLE, COORDINATES)
    transaction.touch(COORDINATES_OF_NODE, fold(node))


class Coordinates:
    """Reads of the coordinates, of the last completed batch."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def all(self) -> tuple[int, list[NodeCoordinate]]:
        """Every coordinate, by node and segment."""
        return self._index(), [found for _, found in coordinates.scan(self._reader)]

    def of_node(self, node: str) -> tuple[int, list[NodeCoordinate]]:
        """A node's, one for each of its segments."""
        return self._index(), [found for _, found in coordinates.scan(self._reader, pack(fold(node)))]

    def distances_from(self, node: str) -> Callable[[str], float] | None:
        """What gives the round-trip time in seconds from a node to another one, infinite where the other's place is not

        known; None where the node's own is not. To be used at once, and asked about a node as often as one likes.
        """
        own = {entry.segment: entry.coord for entry in self.of_node(node)[1]}
        if not own:
            return None
        known: dict[str, float] = {}

        def distance_s(other: str) -> float:
            if other not in known:
                shared = [entry for entry in self.of_node(other)[1] if entry.segment in own]
                known[other] = min((own[entry.segment].distance_s(entry.coord) for entry in shared), default=math.inf)
            return known[other]

        return distance_s

    def _index(self) -> int:
        return table_index(self._reader, COORDINATES)
