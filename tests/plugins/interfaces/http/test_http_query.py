"""`/v1/query`: what is asked of the agent, and how its replies are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.methods import (
    PREPARED_QUERY_APPLY,
    PREPARED_QUERY_EXECUTE,
    PREPARED_QUERY_EXPLAIN,
    PREPARED_QUERY_GET,
    PREPARED_QUERY_LIST,
)
from consul_kernel.structs.node import Node
from consul_kernel.structs.prepared_query import (
    IndexedPreparedQueries,
    PreparedQuery,
    PreparedQueryExecuteRequest,
    PreparedQueryExecuteResponse,
    PreparedQueryExplainResponse,
    PreparedQueryOp,
    QueryDns,
    QueryFailover,
    QueryTemplate,
    ServiceQuery,
)
from consul_kernel.structs.query import QuerySource
from consul_kernel.structs.service import NodeService

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

QUERY = PreparedQuery(id="an-id", name="q", service=ServiceQuery(service="web"), create_index=4, modify_index=5)
SHOWN = (
    '{"ID":"an-id","Name":"q","Session":"","Token":"","Template":{"Type":"","Regexp":"","RemoveEmptyTags":false},'
    '"Service":{"Service":"web","Failover":{"NearestN":0,"Datacenters":null},"OnlyPassing":false,'
    '"IgnoreCheckIDs":null,"Near":"","Tags":null,"NodeMeta":null,"ServiceMeta":null,"Connect":false},'
    '"DNS":{"TTL":""},"CreateIndex":4,"ModifyIndex":5}'
)
META = '"Index":7,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":"leader","NotModified":false,"Backend":0'
INSTANCE = CheckServiceNode(
    node=Node(node="n1", address="10.0.0.1", datacenter="dc2"),
    service=NodeService(id="web", service="web"),
    checks=[HealthCheck(node="n1", check_id="c", status="passing")],
)
FOUND = PreparedQueryExecuteResponse(
    service="web", dns=QueryDns(ttl="9s"), datacenter="dc2", failovers=1, index=7, known_leader=True, nodes=[INSTANCE]
)


async def test_every_field_of_a_new_query(site: Site) -> None:
    site.agent.answer(PREPARED_QUERY_APPLY, "an-id")
    body = (
        '{"name": "q", "Session": "s", "Token": "t", "Template": {"Type": "name_prefix_match", "Regexp": "(.*)", '
        '"RemoveEmptyTags": true}, "Service": {"Service": "web", "Failover": {"NearestN": 2, "Datacenters": ["dc2"]}, '
        '"OnlyPassing": true, "IgnoreCheckIDs": ["c"], "Near": "_agent", "Tags": ["a", "!b"], "NodeMeta": {"k": "v"}, '
        '"ServiceMeta": {"m": "1"}, "Connect": true}, "DNS": {"TTL": "10s"}}'
    )
    got = await site.send("POST", "/v1/query?dc=dc2&token=secret", body)
    assert (got.status, got.text) == (200, '{"ID":"an-id"}')
    request = site.agent.requests(PREPARED_QUERY_APPLY)[-1]
    assert (request.op, request.datacenter, request.token) == (PreparedQueryOp.CREATE, "dc2", "secret")
    assert request.query == PreparedQuery(
        name="q",
        session="s",
        token="t",
        template=QueryTemplate(type="name_prefix_match", regexp="(.*)", remove_empty_tags=True),
        service=ServiceQuery(
            service="web",
            failover=QueryFailover(nearest_n=2, datacenters=["dc2"]),
            only_passing=True,
            ignore_check_ids=["c"],
            near="_agent",
            tags=["a", "!b"],
            node_meta={"k": "v"},
            service_meta={"m": "1"},
            connect=True,
        ),
        dns=QueryDns(ttl="10s"),
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Request decode failed: EOF"),
        ('{"Odd": 1}', 'Request decode failed: json: unknown field "Odd"'),
        (
            '{"Name": 1}',
            (
                "Request decode failed: json: cannot unmarshal number into Go struct field PreparedQuery.Name of type "
                "string"
            ),
        ),
    ],
)
async def test_bad_bodies(site: Site, body: Any, text: str) -> None:
    got = await site.send("POST", "/v1/query", body)
    assert (got.status, got.text) == (400, text)


async def test_changing_and_deleting_go_by_the_path(site: Site) -> None:
    site.agent.answer(PREPARED_QUERY_APPLY, "an-id")
    for method, body, op in (("PUT", '{"ID": "other"}', "update"), ("PUT", None, "update"), ("DELETE", None, "delete")):
        got = await site.send(method, "/v1/query/an-id", body)
        assert (got.status, got.body, "Content-Type" in got.headers) == (200, b"", False)
        request = site.agent.requests(PREPARED_QUERY_APPLY)[-1]
        assert (request.op, request.query) == (op, PreparedQuery(id="an-id"))


async def test_reading(site: Site) -> None:
    site.agent.answer(PREPARED_QUERY_GET, IndexedPreparedQueries(queries=[QUERY], index=7, known_leader=True))
    site.agent.answer(PREPARED_QUERY_LIST, IndexedPreparedQueries(queries=None, index=7))
    got = await site.get("/v1/query/an-id?index=3&wait=2s&consistent")
    assert (got.status, got.text) == (200, f"[{SHOWN}]")
    assert (got.headers["X-Consul-Index"], got.headers["X-Consul-Effective-Consistency"]) == ("7", "consistent")
    request = site.agent.requests(PREPARED_QUERY_GET)[-1]
    assert (request.query_id, request.min_query_index, request.require_consistent) == ("an-id", 3, True)
    got = await site.get("/v1/query?stale")
    assert (got.text, got.headers["X-Consul-Effective-Consistency"]) == ("[]", "stale")


async def test_explaining(site: Site) -> None:
    site.agent.answer(PREPARED_QUERY_EXPLAIN, PreparedQueryExplainResponse(query=QUERY, index=7, known_leader=True))
    got = await site.get("/v1/query/a/b%20c/explain")
    assert got.text == f'{{"Query":{SHOWN},{META}}}'
    assert site.agent.requests(PREPARED_QUERY_EXPLAIN)[-1].query_id_or_name == "a/b c"


async def test_executing(site: Site) -> None:
    site.agent.answer(PREPARED_QUERY_EXECUTE, FOUND)
    got = await site.get("/v1/query/q/execute?limit=3&connect=1&near=_agent&index=9&wait=9s&dc=dc3")
    shown = got.json
    assert list(shown) == [
        *("Service", "Nodes", "DNS", "Datacenter", "Failovers", "Index", "LastContact", "KnownLeader"),
        *("ConsistencyLevel", "NotModified", "Backend"),
    ]
    assert (shown["DNS"], shown["Datacenter"], shown["Failovers"]) == ({"TTL": "9s"}, "dc2", 1)
    node = shown["Nodes"][0]
    assert (node["Service"]["Tags"], node["Checks"][0]["ServiceTags"], node["Node"]["Meta"]) == (None, None, None)
    assert site.agent.requests(PREPARED_QUERY_EXECUTE)[-1] == PreparedQueryExecuteRequest(
        datacenter="dc3",
        query_id_or_name="q",
        limit=3,
        connect=True,
        source=QuerySource(datacenter="dc3", node="node1", ip="127.0.0.1"),
        agent=QuerySource(datacenter="dc1", node="node1"),
    )
    unchecked = CheckServiceNode(node=INSTANCE.node, service=INSTANCE.service, checks=[])
    empty = PreparedQueryExecuteResponse(service="web", nodes=[unchecked])
    site.agent.answer(PREPARED_QUERY_EXECUTE, empty)
    assert (await site.get("/v1/query/q/execute")).json["Nodes"][0]["Checks"] is None
    site.agent.answer(PREPARED_QUERY_EXECUTE, PreparedQueryExecuteResponse(service="web"))
    assert (await site.get("/v1/query/q/execute")).json["Nodes"] == []


@pytest.mark.parametrize(
    ("header", "address"), [("10.1.2.3, 10.9.9.9", "10.1.2.3"), ("::0001", "::1"), ("odd", "127.0.0.1")]
)
async def test_who_asks_through_a_proxy(site: Site, header: str, address: str) -> None:
    site.agent.answer(PREPARED_QUERY_EXECUTE, FOUND)
    await site.send("GET", "/v1/query/q/execute", **{"X-Forwarded-For": header})
    assert site.agent.requests(PREPARED_QUERY_EXECUTE)[-1].source.ip == address


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("execute?limit=x", 'Bad limit: strconv.Atoi: parsing "x": invalid syntax'),
        ("explain?limit=1.5", 'Bad limit: strconv.Atoi: parsing "1.5": invalid syntax'),
        (
            "execute?limit=9223372036854775808",
            'Bad limit: strconv.Atoi: parsing "9223372036854775808": value out of range',
        ),
        ("execute?connect=odd", "Error parsing 'connect' value: strconv.ParseBool: parsing \"odd\": invalid syntax"),
    ],
)
async def test_bad_parameters(site: Site, target: str, text: str) -> None:
    got = await site.get(f"/v1/query/q/{target}")
    assert (got.status, got.text, "X-Consul-Index" in got.headers) == (500, text, False)


@pytest.mark.parametrize("target", ["", "/execute", "/explain"])
async def test_failures(site: Site, target: str) -> None:
    methods: dict[str, Any] = {
        "": PREPARED_QUERY_GET,
        "/execute": PREPARED_QUERY_EXECUTE,
        "/explain": PREPARED_QUERY_EXPLAIN,
    }
    site.agent.answer(methods[target], RpcError("rpc error: Query not found"))
    got = await site.get(f"/v1/query/q{target}")
    assert (got.status, got.text, "X-Consul-Index" in got.headers) == (404, "rpc error: Query not found", False)
    site.agent.answer(methods[target], RpcError("No cluster leader"))
    got = await site.get(f"/v1/query/q{target}")
    assert (got.status, got.text, got.headers["X-Consul-Index"]) == (500, "No cluster leader", "1")


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/v1/query/x", 405, "GET,PUT,DELETE"),
        ("HEAD", "/v1/query/x", 405, "GET,PUT,DELETE"),
        ("PUT", "/v1/query/x/execute", 405, "GET"),
        ("DELETE", "/v1/query/x/explain", 405, "GET"),
        ("OPTIONS", "/v1/query/x", 200, "OPTIONS,GET,PUT,DELETE"),
        ("OPTIONS", "/v1/query/x/execute", 200, "OPTIONS,GET"),
        ("PUT", "/v1/query", 405, "OPTIONS,GET,POST"),
    ],
)
async def test_methods(site: Site, method: str, path: str, status: int, allow: str) -> None:
    got = await site.send(method, path)
    assert (got.status, got.headers["Allow"]) == (status, allow)
    if method == "OPTIONS":
        assert got.json == {}


async def test_kept_answers_are_as_old_as_the_asker_allows(site: Site) -> None:
    site.agent.answer(PREPARED_QUERY_EXECUTE, FOUND)
    path = "/v1/query/q/execute?cached"

    async def asked(**headers: str) -> tuple[int, str | None, int]:
        got = await site.send("GET", path, **headers)
        return got.status, got.headers.get("X-Cache"), len(site.agent.requests(PREPARED_QUERY_EXECUTE))

    assert await asked() == (200, "MISS", 1)
    assert await asked() == (200, "HIT", 1)
    assert await asked(**{"Cache-Control": "max-age=60"}) == (200, "HIT", 1)
    assert await asked(**{"Cache-Control": "must-revalidate"}) == (200, "MISS", 2)
    site.agent.answer(PREPARED_QUERY_EXECUTE, RpcError("No cluster leader"))
    assert await asked() == (200, "HIT", 2)
    assert await asked(**{"Cache-Control": "must-revalidate"}) == (500, None, 3)
    assert await asked(**{"Cache-Control": "must-revalidate, stale-if-error=60"}) == (200, "HIT", 4)
