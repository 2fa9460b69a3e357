"""Network coordinates: where an agent stands in the space of round-trip times.

Source: Dabek, Cox, Kaashoek, Morris, "Vivaldi", 2004, in the form of Serf's `coordinate` package.
"""

from __future__ import annotations

import math

from msgspec import field

from .query import DatacenterRequest, QueryMeta
from .record import Record

DIMENSIONS = 8
ERROR_START = 1.5
HEIGHT_MIN = 10e-6


class Coordinate(Record, kw_only=True):
    """A place, in seconds. The defaults are the start: the origin, with the largest error."""

    vec: list[float] = field(default_factory=lambda: [0.0] * DIMENSIONS)
    error: float = ERROR_START
    adjustment: float = 0.0
    height: float = HEIGHT_MIN

    def distance_s(self, other: Coordinate) -> float:
        """The estimated round-trip time between two places; infinite when their dimensions differ."""
        if len(self.vec) != len(other.vec):
            return math.inf
        raw = math.dist(self.vec, other.vec) + self.height + other.height
        adjusted = raw + self.adjustment + other.adjustment
        return adjusted if adjusted > 0.0 else raw

    @property
    def is_finite(self) -> bool:
        """Whether every number in it is one."""
        return all(map(math.isfinite, (*self.vec, self.error, self.adjustment, self.height)))


class NodeCoordinate(Record, kw_only=True):
    """Where a node stands, in its segment of the LAN pool (Consul's `structs.Coordinate`)."""

    node: str = ""
    segment: str = ""
    coord: Coordinate = field(default_factory=Coordinate)


class DatacenterMap(Record, kw_only=True):
    """Where the servers of a datacenter stand in one area; distances from one area to another mean nothing."""

    datacenter: str = ""
    area_id: str = ""
    coordinates: list[NodeCoordinate] | None = None


class CoordinateUpdateRequest(DatacenterRequest, kw_only=True):
    """An agent tells where it stands."""

    node: str = ""
    segment: str = ""
    coord: Coordinate | None = None


class CoordinateBatch(DatacenterRequest, kw_only=True):
    """What agents told within one period, as it goes into the log."""

    updates: list[NodeCoordinate] = field(default_factory=list)


class IndexedCoordinates(QueryMeta, kw_only=True):
    """`Coordinate.ListNodes`, ordered by node, and `Coordinate.Node`."""

    coordinates: list[NodeCoordinate] | None = None
