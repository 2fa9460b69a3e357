"""Nodes of the catalog."""

from __future__ import annotations

from msgspec import field

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
