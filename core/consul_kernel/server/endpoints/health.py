"""`Health.*`: checks, and services with their health."""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError, RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.state.catalog import satisfies_meta
from consul_kernel.state.keys import encode_text, fold
from consul_kernel.state.watches import CHECK_STATUS, NODE_CHECKS, SERVICE_CHECKS, SERVICE_HEALTH, TABLE, Topic
from consul_kernel.structs.check import CheckStatus, HealthCheck, IndexedHealthChecks
from consul_kernel.structs.health import CheckServiceNode, IndexedCheckServiceNodes
from consul_kernel.structs.methods import (
    HEALTH_CHECKS_IN_STATE,
    HEALTH_NODE_CHECKS,
    HEALTH_SERVICE_CHECKS,
    HEALTH_SERVICE_NODES,
)
from consul_kernel.structs.query import ChecksInStateRequest, NodeSpecificRequest, ServiceSpecificRequest

from .blocking import answer, describe, is_immediate
from .catalog import NODES_TOPIC
from .context import EndpointContext
from .nearness import sort_by_distance
from .selecting import has_tags, select_matching, wanted_tags

CHECKS_TOPIC: Topic = (TABLE, b"checks")


class HealthEndpoint:
    """All reads, answered from the state that this server has applied."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context
        self._catalog = context.state.catalog

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(HEALTH_CHECKS_IN_STATE, self.checks_in_state)
        table.attach(HEALTH_NODE_CHECKS, self.node_checks)
        table.attach(HEALTH_SERVICE_CHECKS, self.service_checks)
        table.attach(HEALTH_SERVICE_NODES, self.service_nodes, self.service_nodes_at_once)

    async def checks_in_state(self, request: ChecksInStateRequest) -> IndexedHealthChecks:
        """All checks in one state, or in `any`."""
        keep = select_matching(request.filter, HealthCheck)
        checks: Topic = CHECKS_TOPIC if request.state == CheckStatus.ANY else (CHECK_STATUS, encode_text(request.state))
        topics = (checks, NODES_TOPIC) if request.node_meta_filters else (checks,)

        def read() -> IndexedHealthChecks:
            index, found = self._catalog.checks_in_state(request.state, request.node_meta_filters)
            found = sort_by_distance(self._context, request.source, keep(found), lambda check: check.node)
            return IndexedHealthChecks(index=index, health_checks=found)

        return await answer(self._context, request, read, lambda: topics)

    async def node_checks(self, request: NodeSpecificRequest) -> IndexedHealthChecks:
        """The checks of a node and of its services."""
        keep = select_matching(request.filter, HealthCheck)

        def read() -> IndexedHealthChecks:
            index, found = self._catalog.node_checks(request.node)
            return IndexedHealthChecks(index=index, health_checks=keep(found))

        topic: Topic = (NODE_CHECKS, fold(request.node))
        return await answer(self._context, request, read, lambda: (topic,))

    async def service_checks(self, request: ServiceSpecificRequest) -> IndexedHealthChecks:
        """The checks of a service's instances."""
        if not request.service_name:
            raise RpcError("Must provide service name")
        keep = select_matching(request.filter, HealthCheck)
        checks: Topic = (SERVICE_CHECKS, fold(request.service_name))
        topics = (checks, NODES_TOPIC) if request.node_meta_filters else (checks,)

        def read() -> IndexedHealthChecks:
            index, found = self._catalog.service_checks(request.service_name, request.node_meta_filters)
            found = sort_by_distance(self._context, request.source, keep(found), lambda check: check.node)
            return IndexedHealthChecks(index=index, health_checks=found)

        return await answer(self._context, request, read, lambda: topics)

    async def service_nodes(self, request: ServiceSpecificRequest) -> IndexedCheckServiceNodes:
        """The instances of a service with nodes and checks."""
        if not request.service_name:
            raise RpcError("Must provide service name")
        found = self.service_nodes_at_once(request)
        if found is not None:
            return found
        self._context.reads.asked("health.service.query", request.service_name)
        keep = select_matching(request.filter, CheckServiceNode)
        topic: Topic = (SERVICE_HEALTH, fold(request.service_name))

        def read() -> IndexedCheckServiceNodes:
            index, found = self._catalog.check_service_nodes(request.service_name)
            if request.connect or request.ingress:
                found = _mesh_instances(found, request)
                if not found:
                    index = self._catalog.absent_service_index(request.service_name, with_checks=True)
            found = keep(_select(found, request))
            found = sort_by_distance(self._context, request.source, found, lambda instance: instance.node.node)
            return IndexedCheckServiceNodes(index=index, nodes=found)

        return await answer(self._context, request, read, lambda: (topic,))

    def service_nodes_at_once(self, request: ServiceSpecificRequest) -> IndexedCheckServiceNodes | None:
        """All of them, where nothing is to be waited for."""
        if not request.service_name or _is_filtered(request) or not is_immediate(request):
            return None
        self._context.reads.asked("health.service.query", request.service_name)
        return describe(self._context, self._all_service_nodes(request.service_name))

    def _all_service_nodes(self, service: str) -> IndexedCheckServiceNodes:
        try:
            index, found = self._catalog.check_service_nodes(service)
        except RequestError as error:
            raise RpcError(str(error)) from error
        return IndexedCheckServiceNodes(index=index, nodes=found)


def _is_filtered(request: ServiceSpecificRequest) -> bool:
    """Whether the answer is other than all instances in their usual order."""
    return bool(
        request.filter
        or request.tag_filter
        or request.connect
        or request.ingress
        or request.node_meta_filters
        or request.source.node
    )


def _mesh_instances(found: list[CheckServiceNode], request: ServiceSpecificRequest) -> list[CheckServiceNode]:
    """Of the mesh there are only natively capable instances, and no gateways."""
    return [instance for instance in found if instance.service.connect.native] if request.connect else []


def _select(found: list[CheckServiceNode], request: ServiceSpecificRequest) -> list[CheckServiceNode]:
    """Those with the tags and the node metadata that the request asks for."""
    tags = wanted_tags(request)
    meta = request.node_meta_filters
    if tags and not request.connect:
        found = [instance for instance in found if has_tags(instance.service.tags, tags)]
    if meta:
        found = [instance for instance in found if satisfies_meta(instance.node.meta, meta)]
    return found
