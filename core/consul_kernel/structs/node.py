"""Nodes of the catalog."""

from __future__ import annotations

from msgspec import field

from .check import HealthCheck
from .query import QueryMeta
from .record import RaftIndexed, Record
from .service import NodeService


class Node(RaftIndexed, kw_only=True):
    """A node: where an agent runs, or an external thing that somebody registered."""

    id: str = ""
    node: str = ""
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None


class IndexedNodes(QueryMeta, kw_only=True):
    """`Catalog.ListNodes`, ordered by name."""

    nodes: list[Node] | None = None


class NodeServices(Record, kw_only=True):
    """A node and its services by id."""

    node: Node | None = None
    services: dict[str, NodeService] | None = None


class IndexedNodeServices(QueryMeta, kw_only=True):
    """`Catalog.NodeServices`; None for an unknown node."""

    node_services: NodeServices | None = None


class NodeServiceList(Record, kw_only=True):
    """A node and its services as a list."""

    node: Node | None = None
    services: list[NodeService] | None = None


class IndexedNodeServiceList(QueryMeta, kw_only=True):
    """`Catalog.NodeServiceList`."""

    node_services: NodeServiceList = field(default_factory=NodeServiceList)


class NodeInfo(Record, kw_only=True):
    """A node with all that it has: an element of `/v1/internal/ui/nodes`."""

    id: str = ""
    node: str = ""
    address: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None
    services: list[NodeService] | None = None
    checks: list[HealthCheck] | None = None


class IndexedNodeDump(QueryMeta, kw_only=True):
    """`Internal.NodeInfo` and `Internal.NodeDump`, ordered by name."""

    dump: list[NodeInfo] | None = None
