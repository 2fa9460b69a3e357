"""`near`: records in the order of their distance from a node (Consul: `agent/consul/rtt.go`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from consul_kernel.structs.query import QuerySource

from .context import EndpointContext

RecordT = TypeVar("RecordT")


def sort_by_distance(
    context: EndpointContext, source: QuerySource, records: list[RecordT], node_of: Callable[[RecordT], str]
) -> list[RecordT]:
    """The records nearest first, those of unknown distance last, else in their order.

    As they are where nobody asked, where the node is of another datacenter, and where it is not known where it stands.
    The list that was given may be shared, and is left alone.
    """
    if not source.node or source.datacenter != context.datacenter or len(records) < 2:
        return records
    distance_s = context.state.coordinates.distances_from(source.node)
    if distance_s is None:
        return records
    return sorted(records, key=lambda record: distance_s(node_of(record)))
