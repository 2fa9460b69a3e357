"""`/v1/health`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.check import CheckStatus, HealthCheck, HealthCheckDefinition, IndexedHealthChecks
from consul_kernel.structs.duration import MINUTE, SECOND
from consul_kernel.structs.health import CheckServiceNode, IndexedCheckServiceNodes
from consul_kernel.structs.methods import (
    HEALTH_CHECKS_IN_STATE,
    HEALTH_NODE_CHECKS,
    HEALTH_SERVICE_CHECKS,
    HEALTH_SERVICE_NODES,
)
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

CHECK_JSON = (
    '{"Node":"n","CheckID":"c","Name":"C","Status":"passing","Notes":"","Output":"","ServiceID":"","ServiceName":"",'
    '"ServiceTags":[],"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},'
    '"CreateIndex":1,"ModifyIndex":2}'
)


def check(status: str = CheckStatus.PASSING) -> HealthCheck:
    return HealthCheck(node="n", check_id="c", name="C", status=status, create_index=1, modify_index=2)


def instance(service_id: str, *statuses: str) -> CheckServiceNode:
    return CheckServiceNode(
        node=Node(node="n"),
        service=NodeService(id=service_id, service="s"),
        checks=[check(status) for status in statuses],
    )


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("node/x", HEALTH_NODE_CHECKS),
        ("checks/x", HEALTH_SERVICE_CHECKS),
        ("state/x", HEALTH_CHECKS_IN_STATE),
    ],
)
async def test_checks(site: Site, path: str, method: object) -> None:
    site.agent.answer_all(lambda _request: IndexedHealthChecks(index=5, known_leader=True, health_checks=[check()]))
    got = await site.get(f"/v1/health/{path}")
    assert got.text == f"[{CHECK_JSON}]"
    assert got.headers["X-Consul-Effective-Consistency"] == "leader"
    [(name, request)] = site.agent.calls
    assert name == getattr(method, "name", None)
    asked = [getattr(request, field, "") for field in ("node", "service_name", "state")]
    assert "x" in asked


async def test_definition_shows_what_is_set(site: Site) -> None:
    definition = HealthCheckDefinition(
        http="http://x/", interval=10 * SECOND, timeout=2 * SECOND, deregister_critical_service_after=MINUTE
    )
    found = HealthCheck(node="n", check_id="c", definition=definition)
    site.agent.answer(HEALTH_NODE_CHECKS, IndexedHealthChecks(index=5, health_checks=[found]))
    got = await site.get("/v1/health/node/n")
    assert (
        '"Definition":{"Interval":"10s","Timeout":"2s","DeregisterCriticalServiceAfter":"1m0s","HTTP":"http://x/"}'
        in got.text
    )


async def test_service_instances(site: Site) -> None:
    nodes = [instance("s1", CheckStatus.PASSING)]
    site.agent.answer(HEALTH_SERVICE_NODES, IndexedCheckServiceNodes(index=5, known_leader=True, nodes=nodes))
    got = await site.get("/v1/health/service/s")
    assert list(got.json[0]) == ["Node", "Service", "Checks"]
    assert got.text.endswith(f'"Checks":[{CHECK_JSON}]}}]')
    assert "Port" not in got.json[0]["Service"]
    assert got.headers["X-Consul-Query-Backend"] == "blocking-query"


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["ok", "warn", "none"]),
        ("?passing", ["ok", "none"]),
        ("?passing=1", ["ok", "none"]),
        ("?passing=false", ["ok", "warn", "none"]),
    ],
)
async def test_passing(site: Site, query: str, ids: list[str]) -> None:
    nodes = [
        instance("ok", CheckStatus.PASSING, CheckStatus.PASSING),
        instance("warn", CheckStatus.PASSING, CheckStatus.WARNING),
        instance("none"),
    ]
    site.agent.answer(HEALTH_SERVICE_NODES, IndexedCheckServiceNodes(index=5, nodes=nodes))
    got = await site.get(f"/v1/health/service/s{query}")
    assert [found["Service"]["ID"] for found in got.json] == ids


async def test_bad_passing_is_noticed_after_the_read(site: Site) -> None:
    site.agent.answer(HEALTH_SERVICE_NODES, IndexedCheckServiceNodes(index=5, known_leader=True))
    got = await site.get("/v1/health/service/s?passing=odd")
    assert (got.status, got.text) == (400, "Invalid value for ?passing")
    assert got.headers["X-Consul-Index"] == "5"
    assert got.headers["X-Consul-Effective-Consistency"] == "leader"


async def test_connect_and_ingress(site: Site) -> None:
    site.agent.answer(HEALTH_SERVICE_NODES, IndexedCheckServiceNodes(index=5))
    assert (await site.get("/v1/health/connect/s")).text == "[]"
    assert (await site.get("/v1/health/ingress/s")).text == "[]"
    connect, ingress = site.agent.requests(HEALTH_SERVICE_NODES)
    assert (connect.connect, connect.ingress) == (True, False)
    assert (ingress.connect, ingress.ingress) == (False, True)


@pytest.mark.parametrize(
    ("query", "backend"),
    [
        ("index=3&wait=1s", "streaming"),
        ("cached", "streaming"),
        ("index=3&near=_agent", "blocking-query"),
        ("stale", "blocking-query"),
    ],
)
async def test_blocking_service_reads_name_consul_s_streaming_backend(site: Site, query: str, backend: str) -> None:
    site.agent.answer(HEALTH_SERVICE_NODES, IndexedCheckServiceNodes(index=5))
    got = await site.get(f"/v1/health/service/s?{query}")
    assert got.headers["X-Consul-Query-Backend"] == backend


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("node/", "Missing node name"),
        ("checks/", "Missing service name"),
        ("state/", "Missing check state"),
        ("service/", "Missing service name"),
        ("connect/", "Missing service name"),
        ("ingress/", "Missing service name"),
    ],
)
async def test_names_are_needed(site: Site, path: str, text: str) -> None:
    got = await site.get(f"/v1/health/{path}")
    assert (got.status, got.text) == (400, text)


@pytest.mark.parametrize(
    ("path", "tells"), [("node/n", True), ("checks/s", True), ("state/any", True), ("service/s", False)]
)
async def test_failed_reads(site: Site, path: str, tells: bool) -> None:
    site.agent.answer_all(RpcError("No path to datacenter"))
    got = await site.get(f"/v1/health/{path}")
    assert (got.status, got.text) == (500, "No path to datacenter")
    assert ("X-Consul-Index" in got.headers) is tells
