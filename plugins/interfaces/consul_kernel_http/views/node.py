"""Nodes, nodes with their services, and service instances with everything about their health."""

from __future__ import annotations

import msgspec

from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import Node, NodeServiceList, NodeServices
from consul_kernel.structs.record import go_name

from .check import CheckView, check_view
from .service import NodeServiceView, node_service_view


class NodeView(msgspec.Struct, rename=go_name, gc=False):
    """One node."""

    id: str
    node: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str] | None
    meta: dict[str, str] | None
    create_index: int
    modify_index: int


class NodeServicesView(msgspec.Struct, rename=go_name, gc=False):
    """A node and its services by id."""

    node: NodeView | None
    services: dict[str, NodeServiceView]


class NodeServiceListView(msgspec.Struct, rename=go_name, gc=False):
    """A node and its services as a list; both `null` for an unknown node."""

    node: NodeView | None
    services: list[NodeServiceView] | None


class CheckServiceNodeView(msgspec.Struct, rename=go_name, gc=False):
    """A service instance, its node, and the checks of both."""

    node: NodeView
    service: NodeServiceView
    checks: list[CheckView]


def node_view(node: Node) -> NodeView:
    """One node."""
    return NodeView(
        node.id,
        node.node,
        node.address,
        node.datacenter,
        node.tagged_addresses,
        node.meta,
        node.create_index,
        node.modify_index,
    )


def node_services_view(found: NodeServices) -> NodeServicesView:
    """A node with its services by id."""
    services = found.services or {}
    return NodeServicesView(
        node_view(found.node) if found.node is not None else None,
        {service_id: node_service_view(service) for service_id, service in services.items()},
    )


def node_service_list_view(found: NodeServiceList) -> NodeServiceListView:
    """A node with its services as a list."""
    if found.node is None:
        return NodeServiceListView(None, None)
    return NodeServiceListView(node_view(found.node), [node_service_view(service) for service in found.services or []])


def check_service_node_view(instance: CheckServiceNode) -> CheckServiceNodeView:
    """One instance with its node and checks."""
    return CheckServiceNodeView(
        node_view(instance.node),
        node_service_view(instance.service),
        [check_view(check) for check in instance.checks],
    )
