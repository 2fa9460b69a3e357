"""Prepared queries, and what executing or explaining one gives.

As in answers to transactions, lists that were not given are `null`: Consul shows these records as they are.
"""

from __future__ import annotations

import msgspec

from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.prepared_query import (
    PreparedQuery,
    PreparedQueryExecuteResponse,
    PreparedQueryExplainResponse,
    QueryDns,
    QueryFailover,
    QueryTemplate,
)
from consul_kernel.structs.record import go_name

from .check import CheckView, check_view
from .node import NodeView, node_view
from .service import NodeServiceView, node_service_view


class ServiceQueryView(msgspec.Struct, rename=go_name, gc=False):
    """Which instances of which service."""

    service: str
    failover: QueryFailover
    only_passing: bool
    ignore_check_ids: list[str] | None = msgspec.field(name="IgnoreCheckIDs")
    near: str
    tags: list[str] | None
    node_meta: dict[str, str] | None
    service_meta: dict[str, str] | None
    connect: bool


class QueryView(msgspec.Struct, rename=go_name, gc=False):
    """One prepared query."""

    id: str
    name: str
    session: str
    token: str
    template: QueryTemplate
    service: ServiceQueryView
    dns: QueryDns
    create_index: int
    modify_index: int


class FoundView(msgspec.Struct, rename=go_name, gc=False):
    """An instance with its node and the checks of both."""

    node: NodeView
    service: NodeServiceView
    checks: list[CheckView] | None


class ExecuteView(msgspec.Struct, rename=go_name, gc=False):
    """The instances that were found, with what a reply says of itself."""

    service: str
    nodes: list[FoundView]
    dns: QueryDns
    datacenter: str
    failovers: int
    index: int
    last_contact: int
    known_leader: bool
    consistency_level: str
    not_modified: bool
    backend: int


class ExplainView(msgspec.Struct, rename=go_name, gc=False):
    """A query as it would be carried out, with what a reply says of itself."""

    query: QueryView
    index: int
    last_contact: int
    known_leader: bool
    consistency_level: str
    not_modified: bool
    backend: int


def query_view(query: PreparedQuery) -> QueryView:
    """One query."""
    service = query.service
    return QueryView(
        query.id,
        query.name,
        query.session,
        query.token,
        query.template,
        ServiceQueryView(
            service.service,
            service.failover,
            service.only_passing,
            service.ignore_check_ids,
            service.near,
            service.tags,
            service.node_meta,
            service.service_meta,
            service.connect,
        ),
        query.dns,
        query.create_index,
        query.modify_index,
    )


def execute_view(reply: PreparedQueryExecuteResponse, consistency: str) -> ExecuteView:
    """What executing a query gave."""
    return ExecuteView(
        reply.service,
        [_found_view(instance) for instance in reply.nodes or ()],
        reply.dns,
        reply.datacenter,
        reply.failovers,
        reply.index,
        reply.last_contact,
        reply.known_leader,
        consistency,
        reply.not_modified,
        reply.backend,
    )


def explain_view(reply: PreparedQueryExplainResponse, consistency: str) -> ExplainView:
    """What explaining a query gave."""
    return ExplainView(
        query_view(reply.query),
        reply.index,
        reply.last_contact,
        reply.known_leader,
        consistency,
        reply.not_modified,
        reply.backend,
    )


def _found_view(instance: CheckServiceNode) -> FoundView:
    service = node_service_view(instance.service)
    service.tags = instance.service.tags
    return FoundView(
        node_view(instance.node),
        service,
        [_check_view(check) for check in instance.checks] if instance.checks else None,
    )


def _check_view(check: HealthCheck) -> CheckView:
    view = check_view(check)
    view.service_tags = check.service_tags
    return view
