"""`PreparedQuery.*`: lookups that servers keep."""

from __future__ import annotations

import uuid

from msgspec.structs import replace

from consul_kernel.contracts.errors import RequestError, RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.server.queries.choosing import choose
from consul_kernel.server.queries.failover import fail_over
from consul_kernel.server.queries.resolving import Resolver
from consul_kernel.server.queries.sources import source_of
from consul_kernel.server.queries.template import CompiledTemplate
from consul_kernel.state.commands import CommandType
from consul_kernel.state.keys import fold
from consul_kernel.state.prepared_queries import QUERIES, is_template
from consul_kernel.state.query_commands import require_well_placed
from consul_kernel.state.watches import QUERY, TABLE, Topic
from consul_kernel.structs.duration import DurationError, parse_duration_ns
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.metadata import metadata_fault
from consul_kernel.structs.methods import (
    PREPARED_QUERY_APPLY,
    PREPARED_QUERY_EXECUTE,
    PREPARED_QUERY_EXECUTE_REMOTE,
    PREPARED_QUERY_EXPLAIN,
    PREPARED_QUERY_GET,
    PREPARED_QUERY_LIST,
)
from consul_kernel.structs.prepared_query import (
    IndexedPreparedQueries,
    PreparedQuery,
    PreparedQueryExecuteRemoteRequest,
    PreparedQueryExecuteRequest,
    PreparedQueryExecuteResponse,
    PreparedQueryExplainResponse,
    PreparedQueryOp,
    PreparedQueryRequest,
    PreparedQuerySpecificRequest,
)
from consul_kernel.structs.query import DCSpecificRequest, QuerySource

from .blocking import answer, describe
from .context import EndpointContext
from .nearness import sort_by_distance

QUERIES_TOPIC: Topic = (TABLE, QUERIES)
QUERY_NOT_FOUND = "Query not found"
REDACTED_TOKEN = "<hidden>"
REFUSED = "raft apply failed: "
MOVED_TO_FRONT = 10
"""Among so many of the nearest, the node from which distances count is put first."""


class PreparedQueryEndpoint:
    """Reads and executions are answered from the state that this server has applied; writes go through the log."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context
        self._queries = context.state.queries
        self._catalog = context.state.catalog
        self._resolver = Resolver(context.state.queries)

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(PREPARED_QUERY_APPLY, self.apply)
        table.attach(PREPARED_QUERY_GET, self.get)
        table.attach(PREPARED_QUERY_LIST, self.list_queries)
        table.attach(PREPARED_QUERY_EXPLAIN, self.explain)
        table.attach(PREPARED_QUERY_EXECUTE, self.execute)
        table.attach(PREPARED_QUERY_EXECUTE_REMOTE, self.execute_remote)

    # --- writes ---

    async def apply(self, request: PreparedQueryRequest) -> str:
        """Create, change or delete a query; the answer is its id."""
        query = request.query
        if request.op == PreparedQueryOp.CREATE:
            if query.id:
                raise RpcError("ID must be empty when creating a new prepared query")
            query = replace(query, id=str(uuid.uuid4()))
        else:
            self._require_known(query.id)
        if request.op in (PreparedQueryOp.CREATE, PreparedQueryOp.UPDATE):
            _require_sound(query)
            self._require_template(query)
        elif request.op != PreparedQueryOp.DELETE:
            raise RpcError(f"Unknown prepared query operation: {request.op}")
        await self._context.propose(CommandType.PREPARED_QUERY, replace(request, query=query), refused=REFUSED)
        return query.id

    def _require_known(self, query_id: str) -> None:
        try:
            _, query = self._queries.get(query_id)
        except RequestError as error:
            raise RpcError(f"Prepared Query lookup failed: {error}") from error
        if query is None:
            raise RpcError(f"Cannot modify non-existent prepared query: '{query_id}'")

    def _require_template(self, query: PreparedQuery) -> None:
        """What the state machine would say first is said first; it does not look into templates."""
        if not is_template(query):
            return
        try:
            require_well_placed(self._queries.reader, query)
        except RequestError as error:
            raise RpcError(f"{REFUSED}{error}") from error
        try:
            CompiledTemplate(query)
        except RequestError as error:
            raise RpcError(f"{REFUSED}failed compiling template: {error}") from error

    # --- reads ---

    async def get(self, request: PreparedQuerySpecificRequest) -> IndexedPreparedQueries:
        """One query, as a list."""

        def read() -> IndexedPreparedQueries:
            index, query = self._queries.get(request.query_id)
            if query is None:
                raise RpcError(QUERY_NOT_FOUND)
            return IndexedPreparedQueries(index=index, queries=[query])

        return await answer(self._context, request, read, lambda: ((QUERY, fold(request.query_id)),))

    async def list_queries(self, request: DCSpecificRequest) -> IndexedPreparedQueries:
        """All queries by id."""

        def read() -> IndexedPreparedQueries:
            index, queries = self._queries.all()
            return IndexedPreparedQueries(index=index, queries=queries or None)

        return await answer(self._context, request, read, lambda: (QUERIES_TOPIC,))

    async def explain(self, request: PreparedQueryExecuteRequest) -> PreparedQueryExplainResponse:
        """The query that would be carried out."""
        if request.require_consistent:
            await self._context.leader_check.passed()
        query = self._resolve(request.query_id_or_name, request.agent)
        return describe(self._context, PreparedQueryExplainResponse(query=query))

    # --- executions: none waits for a change ---

    async def execute(self, request: PreparedQueryExecuteRequest) -> PreparedQueryExecuteResponse:
        """The instances that a query finds, here or in the datacenters that it may fail over to."""
        if request.require_consistent:
            await self._context.leader_check.passed()
        query = self._resolve(request.query_id_or_name, request.agent)
        nodes = self._find(query, connect=request.connect)
        source = source_of(request, query.service.near, self._catalog)
        nodes = sort_by_distance(self._context, source, nodes, lambda instance: instance.node.node)
        if source.node and source.datacenter == self._context.datacenter:
            _put_first(nodes, source.node)
        reply = self._reply(query, _limited(nodes, request.limit))
        if reply.nodes:
            return reply
        others = [name for name in self._context.datacenters() if name != self._context.datacenter]
        return await fail_over(query, request, reply, others=others, call=self._context.call)

    async def execute_remote(self, request: PreparedQueryExecuteRemoteRequest) -> PreparedQueryExecuteResponse:
        """The instances that another datacenter's query finds here."""
        if request.require_consistent:
            await self._context.leader_check.passed()
        nodes = self._find(request.query, connect=request.connect)
        return self._reply(request.query, _limited(nodes, request.limit))

    def _resolve(self, id_or_name: str, agent: QuerySource) -> PreparedQuery:
        try:
            query = self._resolver.resolve(id_or_name, agent, epoch=self._context.state.watches.epoch)
        except RequestError as error:
            raise RpcError(str(error)) from error
        if query is None:
            raise RpcError(QUERY_NOT_FOUND)
        return query

    def _find(self, query: PreparedQuery, *, connect: bool) -> list[CheckServiceNode]:
        """In random order: whoever takes the first shall not always take the same."""
        try:
            _, instances = self._catalog.check_service_nodes(query.service.service)
        except RequestError as error:
            raise RpcError(str(error)) from error
        found = choose(instances, query.service, connect=connect)
        self._context.rng.shuffle(found)
        return found

    def _reply(self, query: PreparedQuery, nodes: list[CheckServiceNode]) -> PreparedQueryExecuteResponse:
        reply = PreparedQueryExecuteResponse(
            service=query.service.service, nodes=nodes, dns=query.dns, datacenter=self._context.datacenter
        )
        return describe(self._context, reply)


def _require_sound(query: PreparedQuery) -> None:
    """RpcError for a query that is wrong in itself."""
    fault = _fault(query)
    if fault:
        raise RpcError(f"Invalid prepared query: {fault}")


def _fault(query: PreparedQuery) -> str:
    """What is wrong, in Consul's words, or an empty string."""
    service = query.service
    if not query.name and not is_template(query) and not query.session:
        return "Must be bound to a session"
    if query.token == REDACTED_TOKEN:
        return f"Bad Token '{query.token}', it looks like a query definition with a redacted token was submitted"
    if not service.service:
        return "Must provide a Service name to query"
    if service.failover.nearest_n < 0:
        return f"Bad NearestN '{service.failover.nearest_n}', must be >= 0"
    meta_fault = metadata_fault(service.node_meta or {}, allows_reserved=True)
    if meta_fault:
        return f"Invalid NodeMeta filters: {meta_fault}"
    if not query.dns.ttl:
        return ""
    try:
        ttl_ns = parse_duration_ns(query.dns.ttl)
    except DurationError as error:
        return f"Bad DNS TTL '{query.dns.ttl}': {error}"
    return f"DNS TTL '{ttl_ns}', must be >=0" if ttl_ns < 0 else ""


def _put_first(nodes: list[CheckServiceNode], node: str) -> None:
    """Exchange the node's instance for the first one, since to itself a node is nearest whatever is estimated."""
    for at, instance in enumerate(nodes[:MOVED_TO_FRONT]):
        if fold(instance.node.node) == fold(node):
            nodes[0], nodes[at] = nodes[at], nodes[0]
            return


def _limited(nodes: list[CheckServiceNode], limit: int) -> list[CheckServiceNode]:
    return nodes[:limit] if limit > 0 else nodes
