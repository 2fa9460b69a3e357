"""`PreparedQuery.*`: checks and texts, which query is meant, whom it finds, and where else it looks."""

from __future__ import annotations

from typing import Any

import pytest

from consul_kernel.contracts.errors import NotLeaderError, RpcError
from consul_kernel.server.queries.resolving import MAX_RENDERED
from consul_kernel.state.commands import CommandType
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.coordinate import Coordinate, CoordinateBatch, NodeCoordinate
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.methods import (
    PREPARED_QUERY_APPLY,
    PREPARED_QUERY_EXECUTE,
    PREPARED_QUERY_EXECUTE_REMOTE,
    PREPARED_QUERY_EXPLAIN,
    PREPARED_QUERY_GET,
    PREPARED_QUERY_LIST,
)
from consul_kernel.structs.node import Node
from consul_kernel.structs.prepared_query import (
    NAME_PREFIX_MATCH,
    PreparedQuery,
    PreparedQueryExecuteRemoteRequest,
    PreparedQueryExecuteRequest,
    PreparedQueryExecuteResponse,
    PreparedQueryOp,
    PreparedQueryRequest,
    PreparedQuerySpecificRequest,
    QueryDns,
    QueryFailover,
    QueryTemplate,
    ServiceQuery,
)
from consul_kernel.structs.query import DCSpecificRequest, QuerySource
from consul_kernel.structs.service import NodeService, ServiceConnect
from core.endpoints.harness import SECOND_NS, Endpoints

UNKNOWN = "aaaaaaaa-0004-0000-0000-000000000001"
TEMPLATE = QueryTemplate(type=NAME_PREFIX_MATCH)


async def apply(endpoints: Endpoints, query: PreparedQuery, op: str = PreparedQueryOp.CREATE) -> str:
    return await endpoints.call(PREPARED_QUERY_APPLY, PreparedQueryRequest(op=op, query=query))


async def create(endpoints: Endpoints, name: str = "q", **fields: object) -> str:
    return await apply(endpoints, PreparedQuery(name=name, service=ServiceQuery(service="web", **fields)))  # type: ignore[arg-type]


async def execute(endpoints: Endpoints, name: str = "q", **fields: object) -> PreparedQueryExecuteResponse:
    request = PreparedQueryExecuteRequest(query_id_or_name=name, **fields)  # type: ignore[arg-type]
    return await endpoints.call(PREPARED_QUERY_EXECUTE, request)


async def found(endpoints: Endpoints, name: str = "q", **fields: object) -> list[str]:
    """The nodes of the instances that were found."""
    return [instance.node.node for instance in (await execute(endpoints, name, **fields)).nodes or ()]


async def register(
    endpoints: Endpoints, node: str, *checks: tuple[str, str], service: NodeService | None = None, **fields: object
) -> None:
    request = RegisterRequest(
        node=node,
        address=f"10.0.0.{node[1:]}",
        service=service or NodeService(id="web", service="web", tags=[node, "All"]),
        checks=[HealthCheck(node=node, check_id=check, status=status, service_id="web") for check, status in checks],
        **fields,  # type: ignore[arg-type]
    )
    await endpoints.register(request)


@pytest.fixture(autouse=True)
async def nodes(endpoints: Endpoints) -> None:
    await register(endpoints, "n1", ("c", "passing"), node_meta={"rack": "1"})
    await register(endpoints, "n2", ("c", "warning"), ("d", "passing"))
    await register(endpoints, "n3", ("c", "critical"))


# --- keeping them ---


async def test_the_leader_gives_the_id(endpoints: Endpoints) -> None:
    made = await create(endpoints)
    index = endpoints.state.applied_index
    reply = await endpoints.call(PREPARED_QUERY_GET, PreparedQuerySpecificRequest(query_id=made))
    assert reply.queries is not None
    assert (reply.queries[0].name, reply.queries[0].create_index, reply.index) == ("q", index, index)
    listed = await endpoints.call(PREPARED_QUERY_LIST, DCSpecificRequest())
    assert (listed.queries, listed.index, listed.known_leader) == (reply.queries, index, True)
    assert await apply(endpoints, PreparedQuery(id=made), PreparedQueryOp.DELETE) == made
    assert (await endpoints.call(PREPARED_QUERY_LIST, DCSpecificRequest())).queries is None


SERVICE = ServiceQuery(service="web")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (PreparedQuery(id=UNKNOWN), "ID must be empty when creating a new prepared query"),
        (PreparedQuery(service=SERVICE), "Invalid prepared query: Must be bound to a session"),
        (
            PreparedQuery(name="x", service=SERVICE, token="<hidden>"),
            (
                "Invalid prepared query: Bad Token '<hidden>', it looks like a query definition with a redacted token "
                "was submitted"
            ),
        ),
        (PreparedQuery(name="x"), "Invalid prepared query: Must provide a Service name to query"),
        (
            PreparedQuery(name="x", service=ServiceQuery(service="w", failover=QueryFailover(nearest_n=-1))),
            "Invalid prepared query: Bad NearestN '-1', must be >= 0",
        ),
        (
            PreparedQuery(name="x", service=ServiceQuery(service="w", node_meta={"": "v"})),
            (
                "Invalid prepared query: Invalid NodeMeta filters: Couldn't load metadata pair ('', 'v'): "
                "Key cannot be blank"
            ),
        ),
        (
            PreparedQuery(name="x", service=SERVICE, dns=QueryDns(ttl="odd")),
            "Invalid prepared query: Bad DNS TTL 'odd': time: invalid duration \"odd\"",
        ),
        (
            PreparedQuery(name="x", service=SERVICE, dns=QueryDns(ttl="-1s")),
            "Invalid prepared query: DNS TTL '-1000000000', must be >=0",
        ),
        (
            PreparedQuery(name="x", service=SERVICE, session=UNKNOWN),
            "raft apply failed: invalid session",
        ),
        (
            PreparedQuery(name="x", service=SERVICE, session="short", template=QueryTemplate(type="odd")),
            "raft apply failed: invalid session: index error: UUID must be 36 characters",
        ),
        (
            PreparedQuery(name="x", service=SERVICE, template=QueryTemplate(type="odd")),
            "raft apply failed: failed compiling template: Bad Template.Type 'odd'",
        ),
    ],
)
async def test_what_is_refused(endpoints: Endpoints, query: PreparedQuery, text: str) -> None:
    with pytest.raises(RpcError) as raised:
        await apply(endpoints, query)
    assert str(raised.value) == text
    assert endpoints.state.queries.all()[1] == []


async def test_reserved_metadata_may_be_asked_for(endpoints: Endpoints) -> None:
    await create(endpoints, node_meta={"consul-network-segment": ""})


async def test_what_cannot_be_changed(endpoints: Endpoints) -> None:
    for op in (PreparedQueryOp.UPDATE, PreparedQueryOp.DELETE, "odd"):
        with pytest.raises(RpcError, match=f"^Cannot modify non-existent prepared query: '{UNKNOWN}'$"):
            await apply(endpoints, PreparedQuery(id=UNKNOWN, name="x", service=SERVICE), op)
        with pytest.raises(RpcError, match=r"^Prepared Query lookup failed: failed prepared query lookup: index error"):
            await apply(endpoints, PreparedQuery(id="short"), op)
    made = await create(endpoints)
    with pytest.raises(RpcError, match=r"^Unknown prepared query operation: odd$"):
        await apply(endpoints, PreparedQuery(id=made), "odd")
    with pytest.raises(RpcError, match=r"^Query not found$"):
        await endpoints.call(PREPARED_QUERY_GET, PreparedQuerySpecificRequest(query_id=UNKNOWN))


async def test_reads_wait_for_a_change_to_the_query(endpoints: Endpoints) -> None:
    made, other = await create(endpoints), await create(endpoints, "other")
    index = endpoints.state.applied_index
    waits = {"min_query_index": index, "max_query_time": 60 * SECOND_NS}
    one = PreparedQuerySpecificRequest(query_id=made, **waits)  # type: ignore[arg-type]
    async with endpoints.blocked(PREPARED_QUERY_GET, one) as task:
        await apply(endpoints, PreparedQuery(id=made, name="q", service=SERVICE), PreparedQueryOp.UPDATE)
        assert (await task).index == endpoints.state.applied_index
    waits["min_query_index"] = endpoints.state.applied_index
    one = PreparedQuerySpecificRequest(query_id=made, **waits)  # type: ignore[arg-type]
    async with endpoints.blocked(PREPARED_QUERY_GET, one) as task:
        await apply(endpoints, PreparedQuery(id=other), PreparedQueryOp.DELETE)
        assert not task.done()
        await apply(endpoints, PreparedQuery(id=made), PreparedQueryOp.DELETE)
        with pytest.raises(RpcError, match=r"^Query not found$"):
            await task


# --- which one is meant ---


async def test_by_id_by_name_and_by_the_longest_template(endpoints: Endpoints) -> None:
    made = await create(endpoints)
    for prefix in ("", "geo-", "geo-db-"):
        query = PreparedQuery(name=prefix, template=TEMPLATE, service=ServiceQuery(service=f"[{prefix}]${{name.full}}"))
        last = await apply(endpoints, query)

    async def meant(name: str) -> str:
        request = PreparedQueryExecuteRequest(query_id_or_name=name)
        return (await endpoints.call(PREPARED_QUERY_EXPLAIN, request)).query.service.service

    assert await meant(made) == await meant("q") == await meant("Q") == "web"
    assert await meant("geo-x") == "[geo-]geo-x"
    assert await meant("GEO-DB-x") == "[geo-db-]GEO-DB-x"
    assert await meant("geo-") == "[geo-]geo-"
    assert await meant(UNKNOWN) == f"[]{UNKNOWN}"
    with pytest.raises(RpcError, match=r"^prepared query templates can only be resolved up by name, not by ID$"):
        await meant(last)
    with pytest.raises(RpcError, match=r"^Missing Query ID$"):
        await meant("")
    # A template that was deleted, or has another name, is found no more; what a query is changed to, counts at once.
    await apply(endpoints, PreparedQuery(id=last), PreparedQueryOp.DELETE)
    assert await meant("geo-db-x") == "[geo-]geo-db-x"
    await apply(endpoints, PreparedQuery(id=made, name="geo-db", service=SERVICE), PreparedQueryOp.UPDATE)
    assert await meant("geo-db") == "web"
    assert await meant("q") == "[]q"


async def test_what_was_made_of_names_is_kept_within_bounds_and_never_stale(endpoints: Endpoints) -> None:
    query = PreparedQuery(name="g-", template=TEMPLATE, service=ServiceQuery(service="${name.suffix}"))
    query.id = await apply(endpoints, query)

    async def meant(name: str, segment: str = "") -> str:
        request = PreparedQueryExecuteRequest(query_id_or_name=name, agent=QuerySource(segment=segment))
        return (await endpoints.call(PREPARED_QUERY_EXPLAIN, request)).query.service.service

    for number in range(MAX_RENDERED + 10):
        assert await meant(f"g-{number}") == str(number)
    assert await meant("g-5") == await meant("g-5") == "5"
    query.service.service = "new-${name.suffix}-${agent.segment}"
    await apply(endpoints, query, PreparedQueryOp.UPDATE)
    assert await meant("g-5") == "new-5-"
    assert await meant("g-5", "alpha") == "new-5-alpha"
    assert await meant("g-5") == "new-5-"


async def test_an_unknown_name(endpoints: Endpoints) -> None:
    request = PreparedQueryExecuteRequest(query_id_or_name="nope")
    with pytest.raises(RpcError, match=r"^Query not found$"):
        await endpoints.call(PREPARED_QUERY_EXECUTE, request)
    with pytest.raises(RpcError, match=r"^Query not found$"):
        await endpoints.call(PREPARED_QUERY_EXPLAIN, request)


# --- whom it finds ---


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["n1", "n2"]),
        ({"only_passing": True}, ["n1"]),
        ({"ignore_check_ids": ["c"]}, ["n1", "n2", "n3"]),
        ({"ignore_check_ids": ["c"], "only_passing": True}, ["n1", "n2", "n3"]),
        ({"tags": ["all"]}, ["n1", "n2"]),
        ({"tags": ["ALL", "!N1"]}, ["n2"]),
        ({"tags": ["!n1", "!n2"]}, []),
        ({"tags": ["n1", "n2"]}, []),
        ({"node_meta": {"rack": "1"}}, ["n1"]),
        ({"node_meta": {"rack": "2"}}, []),
        ({"service_meta": {"m": "1"}}, []),
        ({"connect": True}, []),
    ],
)
async def test_which_instances(endpoints: Endpoints, fields: dict[str, Any], expected: list[str]) -> None:
    await create(endpoints, **fields)
    assert sorted(await found(endpoints)) == expected


async def test_service_metadata_and_mesh(endpoints: Endpoints) -> None:
    native = NodeService(id="web", service="web", meta={"m": "1"}, connect=ServiceConnect(native=True))
    await register(endpoints, "n4", service=native)
    await create(endpoints, "meta", service_meta={"m": "1"})
    await create(endpoints)
    assert await found(endpoints, "meta") == await found(endpoints, connect=True) == ["n4"]


async def test_what_the_answer_says(endpoints: Endpoints) -> None:
    query = PreparedQuery(name="q", service=SERVICE, dns=QueryDns(ttl="7s"))
    await apply(endpoints, query)
    reply = await execute(endpoints, limit=1)
    assert (reply.service, reply.dns, reply.datacenter, reply.failovers) == ("web", query.dns, "dc1", 0)
    assert (reply.index, reply.known_leader, len(reply.nodes or ())) == (1, True, 1)
    orders = {tuple(await found(endpoints)) for _ in range(50)}
    assert orders == {("n1", "n2"), ("n2", "n1")}


async def place(endpoints: Endpoints, distances: dict[str, float]) -> None:
    updates = [NodeCoordinate(node=node, coord=Coordinate(vec=[s, *[0.0] * 7])) for node, s in distances.items()]
    await endpoints.context.propose(CommandType.COORDINATES, CoordinateBatch(updates=updates))


@pytest.mark.parametrize(
    ("near", "source", "expected"),
    [
        ("n2", QuerySource(), ["n2", "n1"]),
        ("n1", QuerySource(), ["n1", "n2"]),
        ("n2", QuerySource(node="n1"), ["n1", "n2"]),
        ("", QuerySource(node="n3"), ["n2", "n1"]),
        ("_agent", QuerySource(), ["n2", "n1"]),
        ("_ip", QuerySource(ip="10.0.0.1"), ["n1", "n2"]),
        ("_ip", QuerySource(ip="10.0.0.2"), ["n2", "n1"]),
    ],
)
async def test_the_nearest_come_first(
    endpoints: Endpoints, near: str, source: QuerySource, expected: list[str]
) -> None:
    await place(endpoints, {"n1": 0.1, "n2": 0.2, "n3": 0.4})
    await create(endpoints, near=near)
    agent = QuerySource(node="n3", datacenter="dc1")
    for _ in range(5):
        assert await found(endpoints, source=source, agent=agent) == expected
    assert await found(endpoints, source=source, agent=agent, limit=1) == expected[:1]


async def test_the_node_itself_is_first_though_no_distance_is_known(endpoints: Endpoints) -> None:
    await create(endpoints, near="N2")
    agent = QuerySource(node="a1", datacenter="dc1")
    assert [await found(endpoints, agent=agent) for _ in range(10)] == [["n2", "n1"]] * 10
    elsewhere = QuerySource(node="a1", datacenter="dc2")
    assert len({tuple(await found(endpoints, agent=elsewhere)) for _ in range(50)}) == 2
    await create(endpoints, "by address", near="_ip")
    for address in ("", "10.9.9.9"):
        assert (
            len({tuple(await found(endpoints, "by address", source=QuerySource(ip=address))) for _ in range(50)}) == 2
        )


# --- where else it looks ---


def instance(node: str) -> CheckServiceNode:
    return CheckServiceNode(node=Node(node=node), service=NodeService(id="web", service="web"), checks=[])


@pytest.mark.parametrize(
    ("failover", "asked"),
    [
        (QueryFailover(), []),
        (QueryFailover(nearest_n=1), ["dc2"]),
        (QueryFailover(nearest_n=9), ["dc2", "dc3", "dc4"]),
        (QueryFailover(datacenters=["dc4", "nowhere", "dc2", "dc4", "dc1"]), ["dc4", "dc2"]),
        (QueryFailover(nearest_n=1, datacenters=["dc4", "dc2"]), ["dc2", "dc4"]),
    ],
)
async def test_datacenters_in_order(endpoints: Endpoints, failover: QueryFailover, asked: list[str]) -> None:
    endpoints.datacenters = ["dc1", "dc2", "dc3", "dc4"]
    await create(endpoints, tags=["none"], failover=failover)
    reply = await execute(endpoints, limit=3, token="secret", allow_stale=True)
    requests = [request for _, request in endpoints.elsewhere]
    assert [request.datacenter for request in requests] == asked
    assert (reply.failovers, reply.nodes or []) == (len(asked), [])
    for request in requests:
        assert (request.limit, request.token, request.allow_stale, request.query.name) == (3, "secret", True, "q")


async def test_the_first_datacenter_with_instances_answers(endpoints: Endpoints) -> None:
    endpoints.datacenters = ["dc2", "dc1", "dc3", "dc4", "dc5"]
    endpoints.elsewhere_found = {
        "dc2": RpcError("No path to datacenter"),
        "dc4": PreparedQueryExecuteResponse(service="web", nodes=[instance("far")], datacenter="dc4", index=9),
    }
    await create(endpoints, tags=["none"], failover=QueryFailover(nearest_n=4))
    reply = await execute(endpoints)
    assert (reply.failovers, reply.datacenter, reply.nodes) == (3, "dc4", [instance("far")])
    assert [method for method, _ in endpoints.elsewhere] == [PREPARED_QUERY_EXECUTE_REMOTE] * 3


async def test_nobody_answers(endpoints: Endpoints) -> None:
    endpoints.elsewhere_found = {"dc2": RpcError("No path to datacenter")}
    await create(endpoints, tags=["none"], failover=QueryFailover(nearest_n=1))
    reply = await execute(endpoints)
    assert (reply.failovers, reply.datacenter, reply.nodes) == (1, "dc1", [])


async def test_for_another_datacenter(endpoints: Endpoints) -> None:
    query = PreparedQuery(service=ServiceQuery(service="web", failover=QueryFailover(nearest_n=3)))
    request = PreparedQueryExecuteRemoteRequest(query=query, limit=1)
    assert len((await endpoints.call(PREPARED_QUERY_EXECUTE_REMOTE, request)).nodes or ()) == 1
    query.service.tags = ["none"]
    reply = await endpoints.call(PREPARED_QUERY_EXECUTE_REMOTE, request)
    assert (reply.nodes, reply.datacenter, endpoints.elsewhere) == ([], "dc1", [])


async def test_consistent_executions_ask_the_quorum(endpoints: Endpoints) -> None:
    await create(endpoints)
    await execute(endpoints, require_consistent=True)
    assert endpoints.consensus.verified == 1
    endpoints.consensus.verify_error = NotLeaderError(None)
    with pytest.raises(RpcError, match=r"^No cluster leader$"):
        await execute(endpoints, require_consistent=True)
