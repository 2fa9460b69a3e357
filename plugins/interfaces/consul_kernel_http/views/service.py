"""Service instances: of a node, joined with their node, and as the local agent shows them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from consul_kernel.structs.record import go_name
from consul_kernel.structs.service import NodeService, ServiceAddress, ServiceConnect, ServiceNode, Weights

_DEFAULT_WEIGHTS = Weights()
_NO_CONNECT = ServiceConnect()

_PROXY_FIELDS: dict[str, Any] = {"Mode": "", "MeshGateway": {}, "Expose": {}}


class ProxyView(msgspec.Struct, rename=go_name, gc=False):
    """What Go writes of a service that is no proxy."""

    mode: str = ""
    mesh_gateway: dict[str, Any] = {}
    expose: dict[str, Any] = {}


_NO_PROXY = ProxyView()


class ConnectView(msgspec.Struct, rename=go_name, omit_defaults=True, gc=False):
    """Mesh settings; `{}` when there are none."""

    native: bool = False
    sidecar_service: dict[str, Any] | None = None


_EMPTY_CONNECT = ConnectView()


class NodeServiceView(msgspec.Struct, rename=go_name, gc=False):
    """A service instance on a node."""

    kind: str | UnsetType
    id: str
    service: str
    tags: list[str] | None
    address: str
    tagged_addresses: dict[str, ServiceAddress] | UnsetType
    meta: dict[str, str] | None
    port: int | UnsetType
    socket_path: str | UnsetType
    weights: Weights
    enable_tag_override: bool
    proxy: ProxyView | dict[str, Any]
    connect: ConnectView
    create_index: int
    modify_index: int


class ServiceNodeView(msgspec.Struct, rename=go_name, gc=False):
    """A service instance with its node."""

    id: str
    node: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str] | None
    node_meta: dict[str, str] | None
    service_kind: str
    service_id: str
    service_name: str
    service_tags: list[str]
    service_address: str
    service_tagged_addresses: dict[str, ServiceAddress] | UnsetType
    service_weights: Weights
    service_meta: dict[str, str]
    service_port: int
    service_socket_path: str
    service_enable_tag_override: bool
    service_proxy: ProxyView | dict[str, Any]
    service_connect: ConnectView
    create_index: int
    modify_index: int


class AgentServiceView(msgspec.Struct, rename=go_name, gc=False):
    """A service that is registered with the local agent, in the shape of Consul's Go client."""

    kind: str | UnsetType
    id: str
    service: str
    tags: list[str]
    meta: dict[str, str]
    port: int
    address: str
    socket_path: str | UnsetType
    tagged_addresses: dict[str, ServiceAddress] | UnsetType
    weights: Weights
    enable_tag_override: bool
    content_hash: str | UnsetType
    proxy: ProxyView | dict[str, Any] | UnsetType
    connect: ConnectView | UnsetType
    datacenter: str


def node_service_view(service: NodeService) -> NodeServiceView:
    """One instance of a node."""
    return NodeServiceView(
        service.kind or UNSET,
        service.id,
        service.service,
        service.tags or [],
        service.address,
        service.tagged_addresses or UNSET,
        service.meta,
        service.port or UNSET,
        service.socket_path or UNSET,
        service.weights or _DEFAULT_WEIGHTS,
        service.enable_tag_override,
        proxy_view(service.proxy),
        connect_view(service.connect),
        service.create_index,
        service.modify_index,
    )


def service_node_view(service: ServiceNode) -> ServiceNodeView:
    """One instance with its node."""
    return ServiceNodeView(
        service.id,
        service.node,
        service.address,
        service.datacenter,
        service.tagged_addresses,
        service.node_meta,
        service.service_kind,
        service.service_id,
        service.service_name,
        service.service_tags or [],
        service.service_address,
        service.service_tagged_addresses or UNSET,
        service.service_weights,
        service.service_meta or {},
        service.service_port,
        service.service_socket_path,
        service.service_enable_tag_override,
        proxy_view(service.service_proxy),
        connect_view(service.service_connect),
        service.create_index,
        service.modify_index,
    )


def agent_service_view(service: NodeService, datacenter: str) -> AgentServiceView:
    """One instance of the local agent, without its content hash."""
    return AgentServiceView(
        service.kind or UNSET,
        service.id,
        service.service,
        service.tags or [],
        service.meta or {},
        service.port,
        service.address,
        service.socket_path or UNSET,
        service.tagged_addresses or UNSET,
        service.weights or _DEFAULT_WEIGHTS,
        service.enable_tag_override,
        UNSET,
        proxy_view(service.proxy) if service.proxy else UNSET,
        connect_view(service.connect) if service.connect != _NO_CONNECT else UNSET,
        datacenter,
    )


def proxy_view(proxy: dict[str, Any] | None) -> ProxyView | dict[str, Any]:
    """Mesh proxy settings as they were given, with the three fields that Go always writes."""
    return {**_PROXY_FIELDS, **proxy} if proxy else _NO_PROXY


def connect_view(connect: ServiceConnect) -> ConnectView:
    """Mesh settings."""
    if connect == _NO_CONNECT:
        return _EMPTY_CONNECT
    return ConnectView(native=connect.native, sidecar_service=connect.sidecar_service)
