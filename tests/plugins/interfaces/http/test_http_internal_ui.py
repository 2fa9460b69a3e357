"""`/v1/internal/ui`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.config_entry import ConfigEntry, ConfigEntryQuery, ConfigEntryResponse
from consul_kernel.structs.health import CheckServiceNode, IndexedCheckServiceNodes
from consul_kernel.structs.methods import (
    CATALOG_SERVICE_NODES,
    CONFIG_ENTRY_GET,
    INTERNAL_NODE_DUMP,
    INTERNAL_NODE_INFO,
    INTERNAL_SERVICE_DUMP,
)
from consul_kernel.structs.node import IndexedNodeDump, Node, NodeInfo
from consul_kernel.structs.query import DCSpecificRequest
from consul_kernel.structs.service import IndexedServiceNodes, NodeService

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

INFO = NodeInfo(node="n", address="10.0.0.1", services=[NodeService(id="s1", service="s")], checks=None)
INFO_JSON = (
    '{"ID":"","Node":"n","Address":"10.0.0.1","TaggedAddresses":null,"Meta":null,"Services":[{"ID":"s1","Service":"s",'
    '"Tags":null,"Address":"","Meta":null,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,'
    '"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"CreateIndex":0,"ModifyIndex":0}],"Checks":[]}'
)


def instance(node: str, service: NodeService, **status_by_check: str) -> CheckServiceNode:
    checks = [HealthCheck(node=node, check_id=name, status=status) for name, status in status_by_check.items()]
    return CheckServiceNode(node=Node(node=node, datacenter="dc1"), service=service, checks=checks)


async def test_nodes(site: Site) -> None:
    site.agent.answer(INTERNAL_NODE_DUMP, IndexedNodeDump(index=8, known_leader=True, dump=[INFO]))
    got = await site.get("/v1/internal/ui/nodes?filter=Node+!=+x&dc=dc2")
    assert got.text == f"[{INFO_JSON}]"
    assert got.headers["X-Consul-Index"] == "8"
    assert "X-Consul-Effective-Consistency" not in got.headers
    request = site.agent.requests(INTERNAL_NODE_DUMP)[0]
    assert (request.filter, request.datacenter) == ("Node != x", "dc2")


async def test_one_node(site: Site) -> None:
    site.agent.answer(INTERNAL_NODE_INFO, IndexedNodeDump(index=8, dump=[INFO]))
    got = await site.get("/v1/internal/ui/node/n")
    assert got.text == INFO_JSON
    assert site.agent.requests(INTERNAL_NODE_INFO)[0].node == "n"


async def test_an_unknown_node_is_404_with_nothing_to_wait_for(site: Site) -> None:
    site.agent.answer(INTERNAL_NODE_INFO, IndexedNodeDump(index=8))
    got = await site.get("/v1/internal/ui/node/n")
    assert (got.status, got.body) == (404, b"")
    assert "X-Consul-Index" not in got.headers


async def test_instances_add_up_to_one_line_for_each_service(site: Site) -> None:
    found = [
        instance("b", NodeService(id="w1", service="web", tags=["y", "x"]), disk="warning", c1="passing"),
        instance("b", NodeService(id="w2", service="web", tags=["x"]), disk="warning", c2="critical"),
        instance("a", NodeService(id="w3", service="web", meta={"external-source": "nomad"})),
        instance("a", NodeService(id="db", service="db"), c="passing"),
    ]
    site.agent.answer(INTERNAL_SERVICE_DUMP, IndexedCheckServiceNodes(index=8, nodes=found))
    got = await site.get("/v1/internal/ui/services")
    assert got.text == (
        '[{"Name":"db","Datacenter":"dc1","Tags":null,"Nodes":["a"],"ExternalSources":null,"InstanceCount":1,'
        '"ChecksPassing":1,"ChecksWarning":0,"ChecksCritical":0,"GatewayConfig":{},"TransparentProxy":false,'
        '"ConnectedWithProxy":false,"ConnectedWithGateway":false},'
        '{"Name":"web","Datacenter":"dc1","Tags":["x","y"],"Nodes":["a","b","b"],"ExternalSources":["nomad"],'
        '"InstanceCount":3,"ChecksPassing":1,"ChecksWarning":1,"ChecksCritical":1,"GatewayConfig":{},'
        '"TransparentProxy":false,"ConnectedWithProxy":false,"ConnectedWithGateway":false}]'
    )


async def test_a_proxy_tells_of_the_service_behind_it(site: Site) -> None:
    proxy = NodeService(
        kind="connect-proxy", id="p", service="web-proxy", proxy={"DestinationServiceName": "web", "Mode": ""}
    )
    site.agent.answer(
        INTERNAL_SERVICE_DUMP, IndexedCheckServiceNodes(index=8, nodes=[instance("a", proxy, alive="critical")])
    )
    web, itself = (await site.get("/v1/internal/ui/services")).json
    assert (web["Name"], web["ConnectedWithProxy"], web["InstanceCount"], web["ChecksCritical"]) == ("web", True, 0, 1)
    assert (itself["Name"], itself["Kind"], itself["ConnectedWithProxy"]) == ("web-proxy", "connect-proxy", False)


async def test_without_a_leader_any_server_will_do(site: Site) -> None:
    stale: list[bool] = []

    def answer(request: DCSpecificRequest) -> IndexedNodeDump:
        stale.append(request.allow_stale)
        if not request.allow_stale:
            raise RpcError("No cluster leader")
        return IndexedNodeDump(index=3, dump=[])

    site.agent.answer(INTERNAL_NODE_DUMP, answer)
    got = await site.get("/v1/internal/ui/nodes?consistent")
    assert (got.status, got.text, stale) == (200, "[]", [False, True])


async def test_failures_tell_the_headers_of_a_read(site: Site) -> None:
    def answer(_: DCSpecificRequest) -> IndexedCheckServiceNodes:
        raise RpcError("No path to datacenter")

    site.agent.answer(INTERNAL_SERVICE_DUMP, answer)
    got = await site.get("/v1/internal/ui/services?dc=nowhere")
    assert (got.status, got.text) == (500, "No path to datacenter")
    assert (got.headers["X-Consul-Index"], got.headers["X-Consul-Knownleader"]) == ("1", "false")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("node/", "Missing node name"),
        ("gateway-services-nodes/", "Missing gateway name"),
        ("gateway-intentions/", "Missing gateway name"),
        ("service-topology/", "Missing service name"),
        ("service-topology/web", "Missing service kind"),
        ("service-topology/web?kind=x", 'Unsupported service kind "x"'),
    ],
)
async def test_what_is_missing_is_named(site: Site, path: str, text: str) -> None:
    got = await site.get(f"/v1/internal/ui/{path}")
    assert (got.status, got.text) == (400, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("gateway-services-nodes/g", "[]"),
        ("gateway-intentions/g", "[]"),
        (
            "service-topology/web?kind=",
            '{"Protocol":"tcp","TransparentProxy":false,"Upstreams":[],"Downstreams":[],"FilteredByACLs":false}',
        ),
    ],
)
async def test_there_is_no_mesh(site: Site, path: str, text: str) -> None:
    site.agent.answer(CATALOG_SERVICE_NODES, IndexedServiceNodes(index=5, service_nodes=[]))
    site.agent.answer(CONFIG_ENTRY_GET, ConfigEntryResponse(index=9))
    got = await site.get(f"/v1/internal/ui/{path}")
    assert (got.status, got.text, got.headers["X-Consul-Index"]) == (200, text, "5")


@pytest.mark.parametrize(
    ("defaults", "proxies", "protocol"),
    [
        ({"Protocol": "HTTP"}, {"protocol": "grpc"}, "http"),
        ({}, {"protocol": "grpc"}, "tcp"),
        (None, {"protocol": "grpc"}, "grpc"),
        (None, {"protocol": 7}, "tcp"),
        (None, {}, "tcp"),
        (None, None, "tcp"),
    ],
)
async def test_the_protocol_of_a_service_is_that_of_the_configuration_entries(
    site: Site, defaults: dict[str, Any] | None, proxies: dict[str, Any] | None, protocol: str
) -> None:
    def entry(request: ConfigEntryQuery) -> ConfigEntryResponse:
        settings = defaults if request.kind == "service-defaults" else None if proxies is None else {"Config": proxies}
        found = None if settings is None else ConfigEntry(kind=request.kind, name=request.name, settings=settings)
        return ConfigEntryResponse(index=9, entry=found)

    site.agent.answer(CATALOG_SERVICE_NODES, IndexedServiceNodes(index=5, service_nodes=[]))
    site.agent.answer(CONFIG_ENTRY_GET, entry)
    got = await site.get("/v1/internal/ui/service-topology/web?kind=&index=3")
    assert got.json["Protocol"] == protocol
    assert [(one.kind, one.name, one.min_query_index) for one in site.agent.requests(CONFIG_ENTRY_GET)] == [
        ("service-defaults", "web", 0),
        *([("proxy-defaults", "global", 0)] if defaults is None else []),
    ]


async def test_there_are_no_metrics_to_show(site: Site) -> None:
    got = await site.get("/v1/internal/ui/metrics-proxy/api")
    assert (got.status, got.text) == (404, "UI is not enabled")
