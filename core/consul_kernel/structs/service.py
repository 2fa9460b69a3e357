"""Services: as the catalog keeps them, as its API shows them, and as an agent is told of them."""

from __future__ import annotations

from typing import Any

from msgspec import field

from .check import CheckDefinition
from .query import QueryMeta
from .record import RaftIndexed, Record


class ServiceAddress(Record, kw_only=True):
    """A tagged address of a service."""

    address: str = ""
    port: int = 0


class Weights(Record, kw_only=True):
    """Relative weights for DNS SRV answers, by health."""

    passing: int = 1
    warning: int = 1


class ServiceConnect(Record, kw_only=True):
    """Mesh settings of a service; kept and shown, not acted on."""

    native: bool = False
    sidecar_service: dict[str, Any] | None = None


class NodeService(RaftIndexed, kw_only=True):
    """A service instance on a node. `id` is unique on its node."""

    kind: str = ""
    id: str = ""
    service: str = ""
    tags: list[str] | None = None
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] | None = None
    meta: dict[str, str] | None = None
    port: int = 0
    socket_path: str = ""
    weights: Weights | None = None
    enable_tag_override: bool = False
    proxy: dict[str, Any] | None = None
    connect: ServiceConnect = field(default_factory=ServiceConnect)
    locally_registered_as_sidecar: bool = False


class ServiceNode(RaftIndexed, kw_only=True):
    """A service instance joined with its node: an element of `/v1/catalog/service/:name`."""

    id: str = ""
    node: str = ""
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    node_meta: dict[str, str] | None = None
    service_kind: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: list[str] | None = None
    service_address: str = ""
    service_tagged_addresses: dict[str, ServiceAddress] | None = None
    service_weights: Weights = field(default_factory=Weights)
    service_meta: dict[str, str] | None = None
    service_port: int = 0
    service_socket_path: str = ""
    service_enable_tag_override: bool = False
    service_proxy: dict[str, Any] | None = None
    service_connect: ServiceConnect = field(default_factory=ServiceConnect)


class ServiceDefinition(Record, kw_only=True):
    """A service as a user defines it, in an agent file or by `/v1/agent/service/register`.

    `check` and `checks` come together. Mesh keys (`kind`, `proxy`, `connect`) are kept as given.
    """

    kind: str = ""
    id: str = ""
    name: str = ""
    tags: list[str] | None = None
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] | None = None
    meta: dict[str, str] | None = None
    port: int = 0
    socket_path: str = ""
    weights: Weights | None = None
    enable_tag_override: bool = False
    check: CheckDefinition | None = None
    checks: list[CheckDefinition] | None = None
    token: str = ""
    proxy: dict[str, Any] | None = None
    connect: dict[str, Any] | None = None


class IndexedServices(QueryMeta, kw_only=True):
    """`Catalog.ListServices`: tags by service name."""

    services: dict[str, list[str]] | None = None


class IndexedServiceNodes(QueryMeta, kw_only=True):
    """`Catalog.ServiceNodes`."""

    service_nodes: list[ServiceNode] | None = None
