"""`Internal.*`: what agents ask of servers on behalf of their users."""

from __future__ import annotations

from consul_kernel.contracts.errors import MembershipError, RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.structs.event import EventFireRequest, EventFireResponse
from consul_kernel.structs.health import CheckServiceNode, IndexedCheckServiceNodes
from consul_kernel.structs.methods import (
    INTERNAL_EVENT_FIRE,
    INTERNAL_KEYRING_OPERATION,
    INTERNAL_NODE_DUMP,
    INTERNAL_NODE_INFO,
    INTERNAL_SERVICE_DUMP,
)
from consul_kernel.structs.node import IndexedNodeDump, NodeInfo
from consul_kernel.structs.query import DCSpecificRequest, NodeSpecificRequest

from .blocking import answer, describe
from .catalog import NODES_TOPIC, SERVICES_TOPIC
from .context import EndpointContext
from .health import CHECKS_TOPIC
from .selecting import select_matching

CATALOG_TOPICS = (NODES_TOPIC, SERVICES_TOPIC, CHECKS_TOPIC)
EVENT_PREFIX = "consul:event:"
"""User events of Consul's API bear this before their name in the gossip; the rest are between agents."""


class Internal:
    """User events and gossip keys, which every server is near enough to, and the catalog whole for user interfaces."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(INTERNAL_EVENT_FIRE, self.event_fire)
        table.attach(INTERNAL_KEYRING_OPERATION, self._context.operate_keyring)
        table.attach(INTERNAL_NODE_INFO, self.node_info)
        table.attach(INTERNAL_NODE_DUMP, self.node_dump)
        table.attach(INTERNAL_SERVICE_DUMP, self.service_dump)

    async def event_fire(self, request: EventFireRequest) -> EventFireResponse:
        """Spread a user event through this datacenter's LAN pool."""
        try:
            await self._context.fire_event(EVENT_PREFIX + request.name, request.payload or b"")
        except MembershipError as error:
            raise RpcError(str(error)) from error
        return describe(self._context, EventFireResponse())

    async def node_info(self, request: NodeSpecificRequest) -> IndexedNodeDump:
        """A node, by its name, with its services and checks; an empty list where there is none."""

        def read() -> IndexedNodeDump:
            index, dump = self._context.state.catalog.node_dump(request.node)
            return IndexedNodeDump(index=index, dump=dump)

        return await answer(self._context, request, read, lambda: CATALOG_TOPICS)

    async def node_dump(self, request: DCSpecificRequest) -> IndexedNodeDump:
        """All nodes with their services and checks."""
        keep = select_matching(request.filter, NodeInfo)

        def read() -> IndexedNodeDump:
            index, dump = self._context.state.catalog.node_dump()
            return IndexedNodeDump(index=index, dump=keep(dump))

        return await answer(self._context, request, read, lambda: CATALOG_TOPICS)

    async def service_dump(self, request: DCSpecificRequest) -> IndexedCheckServiceNodes:
        """The instances of all services with nodes and checks. No gateway links any of them to itself."""
        keep = select_matching(request.filter, CheckServiceNode)

        def read() -> IndexedCheckServiceNodes:
            index, found = self._context.state.catalog.service_dump()
            return IndexedCheckServiceNodes(index=index, nodes=keep(found))

        return await answer(self._context, request, read, lambda: CATALOG_TOPICS)
