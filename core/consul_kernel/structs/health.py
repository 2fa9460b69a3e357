"""A service instance with everything that says whether it is well."""

from __future__ import annotations

from .check import HealthCheck
from .node import Node
from .query import QueryMeta
from .record import Record
from .service import NodeService


class CheckServiceNode(Record, kw_only=True):
    """A service instance, its node, and the checks of both: an element of `/v1/health/service/:name`."""

    node: Node
    service: NodeService
    checks: list[HealthCheck]


class IndexedCheckServiceNodes(QueryMeta, kw_only=True):
    """`Health.ServiceNodes`."""

    nodes: list[CheckServiceNode] | None = None
