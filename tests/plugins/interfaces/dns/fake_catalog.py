"""A catalog in memory that answers the reads which DNS makes, and a client that asks over the network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import dns.asyncquery
import dns.edns
import dns.message
import msgspec

from consul_kernel.contracts.dns_answer import DEFAULT_ANSWERS, DnsAnswers
from consul_kernel.contracts.errors import RpcError
from consul_kernel.contracts.interface import InterfaceContext
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.health import CheckServiceNode, IndexedCheckServiceNodes
from consul_kernel.structs.methods import (
    CATALOG_LIST_NODES,
    CATALOG_NODE_SERVICES,
    CATALOG_SERVICE_NODES,
    HEALTH_SERVICE_NODES,
)
from consul_kernel.structs.node import IndexedNodes, IndexedNodeServices, Node, NodeServices
from consul_kernel.structs.query import DCSpecificRequest, NodeSpecificRequest, ServiceSpecificRequest
from consul_kernel.structs.service import IndexedServiceNodes, NodeService, ServiceNode
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel_dns import DnsInterface, DnsInterfaceConfig


class FakeCatalog:
    """Nodes, services and checks by registration; every read makes new records, as a wire does."""

    def __init__(self, datacenter: str = "dc1") -> None:
        self.datacenter = datacenter
        self.last_contact = 0
        self._nodes: dict[str, Node] = {}
        self._services: dict[tuple[str, str], NodeService] = {}
        self._checks: dict[tuple[str, str], HealthCheck] = {}
        self.agent = FakeAgent(node_name="agent-one", datacenter=datacenter)
        self.agent.answer(HEALTH_SERVICE_NODES, self._health_service_nodes)
        self.agent.answer(CATALOG_NODE_SERVICES, self._node_services)
        self.agent.answer(CATALOG_LIST_NODES, self._list_nodes)
        self.agent.answer(CATALOG_SERVICE_NODES, self._service_nodes)
        self.register(Node(node="agent-one", address="127.0.0.1", meta={"consul-network-segment": ""}))
        self.add_service("agent-one", NodeService(id="consul", service="consul", port=8300))

    def register(self, node: Node) -> None:
        self._nodes[node.node] = msgspec.structs.replace(node, datacenter=self.datacenter)

    def add_service(self, node: str, service: NodeService, *checks: HealthCheck) -> None:
        self._services[node, service.id or service.service] = service
        for check in checks:
            self._checks[node, check.check_id] = check

    def remove_service(self, node: str, service_id: str) -> None:
        del self._services[node, service_id]

    def serve(self, name: str, *addresses: str, port: int = 80, tags: Iterable[str] = ()) -> None:
        """One instance of a service on each of some new nodes."""
        for number, address in enumerate(addresses):
            node = f"{name}-{number:02}"
            self.register(Node(node=node, address=address))
            self.add_service(node, NodeService(id="1", service=name, port=port, tags=list(tags)))

    def _health_service_nodes(self, request: ServiceSpecificRequest) -> IndexedCheckServiceNodes:
        self._check_datacenter(request.datacenter)
        found = []
        for (node, _), service in self._services.items():
            if service.service.lower() != request.service_name.lower():
                continue
            tags = {tag.lower() for tag in service.tags or []}
            if request.tag_filter and not all(tag.lower() in tags for tag in request.service_tags or []):
                continue
            checks = [
                msgspec.structs.replace(check)
                for (owner, _), check in self._checks.items()
                if owner == node and check.service_id in ("", service.id)
            ]
            found.append(CheckServiceNode(node=self._nodes[node], service=service, checks=checks))
        return IndexedCheckServiceNodes(nodes=found, last_contact=self._staleness(request))

    def _node_services(self, request: NodeSpecificRequest) -> IndexedNodeServices:
        self._check_datacenter(request.datacenter)
        for name, node in self._nodes.items():
            if name.lower() == request.node.lower():
                services = NodeServices(node=msgspec.structs.replace(node), services={})
                return IndexedNodeServices(node_services=services, last_contact=self._staleness(request))
        return IndexedNodeServices(last_contact=self._staleness(request))

    def _list_nodes(self, request: DCSpecificRequest) -> IndexedNodes:
        return IndexedNodes(nodes=list(self._nodes.values()), last_contact=self._staleness(request))

    def _service_nodes(self, request: ServiceSpecificRequest) -> IndexedServiceNodes:
        found = [
            ServiceNode(node=node, service_name=service.service, service_address=service.address)
            for (node, _), service in self._services.items()
            if service.address == request.service_address
        ]
        return IndexedServiceNodes(service_nodes=found, last_contact=self._staleness(request))

    def _staleness(self, request: ServiceSpecificRequest | NodeSpecificRequest | DCSpecificRequest) -> int:
        return self.last_contact if request.allow_stale else 0

    def _check_datacenter(self, datacenter: str) -> None:
        if datacenter != self.datacenter:
            raise RpcError("No path to datacenter")


def make_interface(
    catalog: FakeCatalog,
    settings: DnsSettings | None = None,
    config: DnsInterfaceConfig | None = None,
    answers: DnsAnswers = DEFAULT_ANSWERS,
) -> DnsInterface:
    """An interface on a free port of the loopback."""
    context = InterfaceContext(
        agent=catalog.agent,
        bind=[Address("127.0.0.1", 0)],
        dns=settings or DnsSettings(),
        http=HttpSettings(),
        limits=LimitSettings(),
        dns_answers=answers,
    )
    return DnsInterface(context, config or DnsInterfaceConfig())


def port_of(interface: DnsInterface) -> int:
    return int(interface.addresses()[0].removesuffix(" (udp)").rpartition(":")[2])


async def ask(
    interface: DnsInterface,
    name: str,
    record_type: str = "A",
    *,
    edns: int | None = None,
    tcp: bool = False,
    timeout_s: float = 5.0,
    options: tuple[dns.edns.Option, ...] = (),
) -> dns.message.Message:
    """One question by an outside client."""
    query = dns.message.make_query(
        name, record_type, use_edns=0 if edns is not None else False, payload=edns or 0, options=list(options) or None
    )
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    async with asyncio.timeout(timeout_s):
        return await send(query, "127.0.0.1", port=port_of(interface), timeout=timeout_s)


def lines(section: list[dns.rrset.RRset]) -> list[str]:
    """Every record of a section as sorted text."""
    return sorted(line for rrset in section for line in rrset.to_text().split("\n"))
