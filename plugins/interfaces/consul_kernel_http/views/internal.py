"""What user interfaces are shown: nodes with all they have, and services in one line each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from consul_kernel.structs.check import CheckStatus, HealthCheck
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import NodeInfo
from consul_kernel.structs.record import go_name
from consul_kernel.structs.service import NodeService

from .check import CheckView, check_view
from .service import NodeServiceView, node_service_view

CONNECT_PROXY = "connect-proxy"
_EXTERNAL_SOURCE = "external-source"


class NodeInfoView(msgspec.Struct, rename=go_name, gc=False):
    """A node with all that it has. Tags are as they were given, `null` where none were."""

    id: str
    node: str
    address: str
    tagged_addresses: dict[str, str] | None
    meta: dict[str, str] | None
    services: list[NodeServiceView]
    checks: list[CheckView]


class ServiceSummaryView(msgspec.Struct, rename=go_name, gc=False):
    """A service in one line: where it runs, and how many of its checks are well."""

    kind: str | UnsetType
    name: str
    datacenter: str
    tags: list[str] | None
    nodes: list[str] | None
    external_sources: list[str] | None
    instance_count: int
    checks_passing: int
    checks_warning: int
    checks_critical: int
    gateway_config: dict[str, Any]
    transparent_proxy: bool
    connected_with_proxy: bool
    connected_with_gateway: bool


class ServiceTopologyView(msgspec.Struct, rename=go_name):
    """The neighbours of a service in the mesh: without one there are none."""

    protocol: str = "tcp"
    transparent_proxy: bool = False
    upstreams: list[Any] = []
    downstreams: list[Any] = []
    filtered_by_acls: bool = msgspec.field(default=False, name="FilteredByACLs")


def node_info_view(info: NodeInfo) -> NodeInfoView:
    """One node."""
    return NodeInfoView(
        info.id,
        info.node,
        info.address,
        info.tagged_addresses,
        info.meta,
        [_service_view(service) for service in info.services or []],
        [_check_view(check) for check in info.checks or []],
    )


def _service_view(service: NodeService) -> NodeServiceView:
    view = node_service_view(service)
    view.tags = service.tags
    return view


def _check_view(check: HealthCheck) -> CheckView:
    view = check_view(check)
    view.service_tags = check.service_tags
    return view


@dataclass(slots=True)
class _Summary:
    """What instances of one service add up to. A node's check counts once, however many instances are there."""

    kind: str = ""
    datacenter: str = ""
    tags: set[str] = field(default_factory=set)
    nodes: list[str] = field(default_factory=list)
    sources: dict[str, None] = field(default_factory=dict)
    checks: dict[tuple[str, str], str] = field(default_factory=dict)
    proxy_modes: set[str] = field(default_factory=set)

    def add(self, instance: CheckServiceNode) -> None:
        service = instance.service
        self.kind = service.kind
        self.datacenter = instance.node.datacenter
        self.nodes.append(instance.node.node)
        self.tags.update(service.tags or ())
        source = (service.meta or {}).get(_EXTERNAL_SOURCE)
        if source:
            self.sources[source] = None
        self.add_checks(instance)

    def add_checks(self, instance: CheckServiceNode) -> None:
        node = instance.node.node
        self.checks.update(((node, check.check_id), check.status) for check in instance.checks)

    def count(self, status: CheckStatus) -> int:
        return sum(1 for found in self.checks.values() if found == status)


def summarise(instances: Iterable[CheckServiceNode]) -> list[ServiceSummaryView]:
    """One line for each service, by name; a proxy's checks count for the service that it stands before, too."""
    summaries: dict[str, _Summary] = {}
    for instance in instances:
        service = instance.service
        summaries.setdefault(service.service, _Summary()).add(instance)
        if service.kind == CONNECT_PROXY:
            proxy = service.proxy or {}
            served = summaries.setdefault(str(proxy.get("DestinationServiceName", "")), _Summary())
            served.proxy_modes.add(str(proxy.get("Mode", "")))
            served.add_checks(instance)
    return [_view(name, summaries[name]) for name in sorted(summaries)]


def _view(name: str, summary: _Summary) -> ServiceSummaryView:
    return ServiceSummaryView(
        summary.kind or UNSET,
        name,
        summary.datacenter,
        sorted(summary.tags) or None,
        sorted(summary.nodes) or None,
        list(summary.sources) or None,
        len(summary.nodes),
        summary.count(CheckStatus.PASSING),
        summary.count(CheckStatus.WARNING),
        summary.count(CheckStatus.CRITICAL),
        {},
        summary.proxy_modes == {"transparent"},
        bool(summary.proxy_modes),
        False,
    )
