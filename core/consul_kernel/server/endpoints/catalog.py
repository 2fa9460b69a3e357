"""`Catalog.*`: what is registered, and registering it."""

from __future__ import annotations

from msgspec.structs import replace

from consul_kernel.contracts.errors import RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.state.catalog import satisfies_meta
from consul_kernel.state.commands import CommandType
from consul_kernel.state.keys import fold
from consul_kernel.state.watches import NODE, SERVICE, TABLE, Topic
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.methods import (
    CATALOG_DEREGISTER,
    CATALOG_LIST_DATACENTERS,
    CATALOG_LIST_NODES,
    CATALOG_LIST_SERVICES,
    CATALOG_NODE_SERVICE_LIST,
    CATALOG_NODE_SERVICES,
    CATALOG_REGISTER,
    CATALOG_SERVICE_NODES,
)
from consul_kernel.structs.node import (
    IndexedNodes,
    IndexedNodeServiceList,
    IndexedNodeServices,
    Node,
    NodeServiceList,
    NodeServices,
)
from consul_kernel.structs.query import DCSpecificRequest, NodeSpecificRequest, QueryOptions, ServiceSpecificRequest
from consul_kernel.structs.record import Empty
from consul_kernel.structs.service import IndexedServiceNodes, IndexedServices, NodeService, ServiceNode

from .blocking import answer
from .context import EndpointContext
from .nearness import sort_by_distance
from .registering import prepare_check, prepare_service, require_node
from .selecting import has_tags, select_matching, wanted_tags

NODES_TOPIC: Topic = (TABLE, b"nodes")
SERVICES_TOPIC: Topic = (TABLE, b"services")


class CatalogEndpoint:
    """Reads are answered from the state that this server has applied; writes go through the log."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context
        self._catalog = context.state.catalog

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(CATALOG_REGISTER, self.register)
        table.attach(CATALOG_DEREGISTER, self.deregister)
        table.attach(CATALOG_LIST_DATACENTERS, self.list_datacenters)
        table.attach(CATALOG_LIST_NODES, self.list_nodes)
        table.attach(CATALOG_LIST_SERVICES, self.list_services)
        table.attach(CATALOG_SERVICE_NODES, self.service_nodes)
        table.attach(CATALOG_NODE_SERVICES, self.node_services)
        table.attach(CATALOG_NODE_SERVICE_LIST, self.node_service_list)

    # --- writes ---

    async def register(self, request: RegisterRequest) -> Empty:
        """Register a node, and with it a service and checks."""
        if not request.address and not request.skip_node_update:
            require_node(request.node)
            raise RpcError("Must provide address if SkipNodeUpdate is not set")
        require_node(request.node, request.id)
        checks = [*(request.checks or ()), *((request.check,) if request.check else ())]
        await self._context.propose(
            CommandType.REGISTER,
            replace(
                request,
                datacenter=request.datacenter or self._context.datacenter,
                service=prepare_service(request.service) if request.service else None,
                check=None,
                checks=[prepare_check(check, request.node) for check in checks] or None,
            ),
        )
        return Empty()

    async def deregister(self, request: DeregisterRequest) -> Empty:
        """Deregister a service, else a check, else the node with all it has."""
        if not request.node:
            raise RpcError("Must provide node")
        await self._context.propose(CommandType.DEREGISTER, request)
        return Empty()

    # --- reads ---

    async def list_datacenters(self, _: QueryOptions) -> list[str]:
        """The known datacenters, nearest first."""
        return list(self._context.datacenters()) or [self._context.datacenter]

    async def list_nodes(self, request: DCSpecificRequest) -> IndexedNodes:
        """All nodes by name."""
        keep = select_matching(request.filter, Node)

        def read() -> IndexedNodes:
            index, nodes = self._catalog.nodes(request.node_meta_filters)
            if is_unmodified(request, index):
                return IndexedNodes(index=index, not_modified=True)
            found = sort_by_distance(self._context, request.source, keep(nodes), lambda node: node.node)
            return IndexedNodes(index=index, nodes=found)

        return await answer(self._context, request, read, lambda: (NODES_TOPIC,))

    async def list_services(self, request: DCSpecificRequest) -> IndexedServices:
        """All service names with their tags. As in Consul 1.10, a filter expression has no effect here."""
        topics = (SERVICES_TOPIC, NODES_TOPIC) if request.node_meta_filters else (SERVICES_TOPIC,)

        def read() -> IndexedServices:
            index, services = self._catalog.services(request.node_meta_filters)
            if is_unmodified(request, index):
                return IndexedServices(index=index, not_modified=True)
            return IndexedServices(index=index, services=services)

        return await answer(self._context, request, read, lambda: topics)

    async def service_nodes(self, request: ServiceSpecificRequest) -> IndexedServiceNodes:
        """The instances of a service, or those at an address."""
        if not request.service_name and not request.service_address:
            raise RpcError("Must provide service name")
        self._context.reads.asked("catalog.service.query", request.service_name)
        keep = select_matching(request.filter, ServiceNode)
        tags = wanted_tags(request)
        meta = request.node_meta_filters

        def read() -> IndexedServiceNodes:
            index, found = self._find_service_nodes(request)
            if tags:
                found = [node for node in found if has_tags(node.service_tags, tags)]
            if meta:
                found = [node for node in found if satisfies_meta(node.node_meta, meta)]
            found = sort_by_distance(self._context, request.source, keep(found), lambda node: node.node)
            return IndexedServiceNodes(index=index, service_nodes=found)

        by_address = request.service_address and not request.connect
        topics: tuple[Topic, ...] = (
            (SERVICES_TOPIC, NODES_TOPIC) if by_address else ((SERVICE, fold(request.service_name)),)
        )
        return await answer(self._context, request, read, lambda: topics)

    def _find_service_nodes(self, request: ServiceSpecificRequest) -> tuple[int, list[ServiceNode]]:
        if request.connect:
            index, found = self._catalog.service_nodes(request.service_name)
            native = [node for node in found if node.service_connect.native]
            if not native:
                index = self._catalog.absent_service_index(request.service_name, with_checks=False)
            return index, native
        if request.service_address:
            return self._catalog.address_nodes(request.service_address)
        return self._catalog.service_nodes(request.service_name)

    async def node_services(self, request: NodeSpecificRequest) -> IndexedNodeServices:
        """A node and its services by id; None for an unknown node."""
        if not request.node:
            raise RpcError("Must provide node")
        keep = select_matching(request.filter, NodeService)

        def read() -> IndexedNodeServices:
            index, node, services = self._catalog.node_services(request.node)
            if node is None:
                return IndexedNodeServices(index=index)
            by_id = {service.id: service for service in keep(services)}
            return IndexedNodeServices(index=index, node_services=NodeServices(node=node, services=by_id))

        return await answer(self._context, request, read, lambda: self._node_topics(request.node))

    async def node_service_list(self, request: NodeSpecificRequest) -> IndexedNodeServiceList:
        """A node and its services as a list."""
        if not request.node:
            raise RpcError("Must provide node")
        keep = select_matching(request.filter, NodeService)

        def read() -> IndexedNodeServiceList:
            index, node, services = self._catalog.node_services(request.node)
            if node is None:
                return IndexedNodeServiceList(index=index)
            found = NodeServiceList(node=node, services=keep(services))
            return IndexedNodeServiceList(index=index, node_services=found)

        return await answer(self._context, request, read, lambda: self._node_topics(request.node))

    def _node_topics(self, name_or_id: str) -> tuple[Topic, ...]:
        """The node; where it is unknown or known by its id, any node may be the one that comes to be meant."""
        found = self._catalog.find_node(name_or_id)
        if found is None:
            return (NODES_TOPIC,)
        name = fold(found[1].node)
        node_topic: Topic = (NODE, name)
        return (node_topic,) if name == fold(name_or_id) else (node_topic, NODES_TOPIC)


def is_unmodified(request: QueryOptions, index: int) -> bool:
    """Whether the caller has this answer already and said that it need not be sent again."""
    return request.allow_not_modified_response and 0 < request.min_query_index == index
