"""`/v1/catalog` and `/v1/status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.methods import (
    CATALOG_DEREGISTER,
    CATALOG_LIST_DATACENTERS,
    CATALOG_LIST_NODES,
    CATALOG_LIST_SERVICES,
    CATALOG_NODE_SERVICE_LIST,
    CATALOG_NODE_SERVICES,
    CATALOG_REGISTER,
    CATALOG_SERVICE_NODES,
    STATUS_LEADER,
    STATUS_PEERS,
)
from consul_kernel.structs.node import (
    IndexedNodes,
    IndexedNodeServiceList,
    IndexedNodeServices,
    Node,
    NodeServiceList,
    NodeServices,
)
from consul_kernel.structs.query import QuerySource
from consul_kernel.structs.record import Empty
from consul_kernel.structs.service import (
    IndexedServiceNodes,
    IndexedServices,
    NodeService,
    ServiceAddress,
    ServiceConnect,
    ServiceNode,
    Weights,
)

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

NODE = Node(node="n", address="10.0.0.1", datacenter="dc1", create_index=1, modify_index=2)
NODE_JSON = (
    '{"ID":"","Node":"n","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":null,"Meta":null,'
    '"CreateIndex":1,"ModifyIndex":2}'
)
BARE_SERVICE_JSON = (
    '{"ID":"s1","Service":"s","Tags":[],"Address":"","Meta":null,"Weights":{"Passing":1,"Warning":1},'
    '"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},'
    '"CreateIndex":3,"ModifyIndex":4}'
)
BARE_SERVICE = NodeService(id="s1", service="s", create_index=3, modify_index=4)


async def test_nodes(site: Site) -> None:
    site.agent.answer(CATALOG_LIST_NODES, IndexedNodes(index=8, known_leader=True, nodes=[NODE]))
    got = await site.get("/v1/catalog/nodes?near=_agent&node-meta=rack:r:1&node-meta=bare&filter=a+b")
    assert got.text == f"[{NODE_JSON}]"
    assert got.headers["X-Consul-Index"] == "8"
    assert got.headers["X-Consul-Effective-Consistency"] == "leader"
    request = site.agent.requests(CATALOG_LIST_NODES)[0]
    assert request.source.node == "node1"
    assert request.node_meta_filters == {"rack": "r:1", "bare": ""}
    assert request.filter == "a b"


async def test_distances_are_told_in_the_datacenter_that_is_asked(site: Site) -> None:
    site.agent.answer(CATALOG_LIST_NODES, IndexedNodes(index=8))
    await site.get("/v1/catalog/nodes?near=n1&dc=dc2")
    assert site.agent.requests(CATALOG_LIST_NODES)[0].source == QuerySource(datacenter="dc2", node="n1")


async def test_no_nodes_is_an_empty_list(site: Site) -> None:
    site.agent.answer(CATALOG_LIST_NODES, IndexedNodes(index=8))
    assert (await site.get("/v1/catalog/nodes")).text == "[]"


async def test_services_are_sorted_by_name(site: Site) -> None:
    services = {"web": ["b", "a"], "consul": []}
    site.agent.answer(CATALOG_LIST_SERVICES, IndexedServices(index=8, services=dict(services)))
    assert (await site.get("/v1/catalog/services")).text == '{"consul":[],"web":["b","a"]}'


async def test_service_nodes(site: Site) -> None:
    bare = ServiceNode(node="n", address="10.0.0.1", datacenter="dc1", service_id="s1", service_name="s")
    full = ServiceNode(
        id="u",
        node="n",
        service_id="s2",
        service_name="s",
        service_tags=["t"],
        service_tagged_addresses={"lan": ServiceAddress(address="10.0.0.2", port=5)},
        service_weights=Weights(passing=3, warning=2),
        service_port=80,
    )
    site.agent.answer(CATALOG_SERVICE_NODES, IndexedServiceNodes(index=8, service_nodes=[bare, full]))
    got = await site.get("/v1/catalog/service/s%20x?tag=a&tag=b")
    assert got.text.startswith(
        '[{"ID":"","Node":"n","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":null,"NodeMeta":null,'
        '"ServiceKind":"","ServiceID":"s1","ServiceName":"s","ServiceTags":[],"ServiceAddress":"",'
        '"ServiceWeights":{"Passing":1,"Warning":1},"ServiceMeta":{},"ServicePort":0,"ServiceSocketPath":"",'
        '"ServiceEnableTagOverride":false,"ServiceProxy":{"Mode":"","MeshGateway":{},"Expose":{}},'
        '"ServiceConnect":{},"CreateIndex":0,"ModifyIndex":0},'
    )
    assert got.json[1]["ServiceTaggedAddresses"] == {"lan": {"Address": "10.0.0.2", "Port": 5}}
    request = site.agent.requests(CATALOG_SERVICE_NODES)[0]
    assert (request.service_name, request.service_tags, request.tag_filter) == ("s x", ["a", "b"], True)
    assert not request.connect


async def test_connect_asks_for_mesh_instances(site: Site) -> None:
    site.agent.answer(CATALOG_SERVICE_NODES, IndexedServiceNodes(index=8))
    assert (await site.get("/v1/catalog/connect/s")).text == "[]"
    assert site.agent.requests(CATALOG_SERVICE_NODES)[0].connect


async def test_gateways_have_no_services(site: Site) -> None:
    site.agent.answer(CATALOG_SERVICE_NODES, IndexedServiceNodes(index=8))
    got = await site.get("/v1/catalog/gateway-services/g")
    assert (got.text, got.headers["X-Consul-Index"]) == ("null", "8")


async def test_node_with_its_services(site: Site) -> None:
    mesh = NodeService(
        id="p",
        kind="connect-proxy",
        service="p",
        port=1,
        proxy={"DestinationServiceName": "s"},
        connect=ServiceConnect(native=True),
    )
    services = NodeServices(node=NODE, services={"s1": BARE_SERVICE, "p": mesh})
    site.agent.answer(CATALOG_NODE_SERVICES, IndexedNodeServices(index=8, node_services=services))
    got = await site.get("/v1/catalog/node/n")
    assert f'"s1":{BARE_SERVICE_JSON}' in got.text
    assert got.text.startswith(f'{{"Node":{NODE_JSON},"Services":{{"p":{{"Kind":"connect-proxy","ID":"p",')
    assert got.json["Services"]["p"]["Port"] == 1
    assert got.json["Services"]["p"]["Connect"] == {"Native": True}
    assert got.json["Services"]["p"]["Proxy"] == {
        "DestinationServiceName": "s",
        "Mode": "",
        "MeshGateway": {},
        "Expose": {},
    }


async def test_unknown_node_is_null(site: Site) -> None:
    site.agent.answer(CATALOG_NODE_SERVICES, IndexedNodeServices(index=8))
    assert (await site.get("/v1/catalog/node/none")).text == "null"


async def test_node_services_as_a_list(site: Site) -> None:
    services = NodeServiceList(node=NODE, services=[BARE_SERVICE])
    site.agent.answer(CATALOG_NODE_SERVICE_LIST, IndexedNodeServiceList(index=8, node_services=services))
    got = await site.get("/v1/catalog/node-services/n")
    assert got.text == f'{{"Node":{NODE_JSON},"Services":[{BARE_SERVICE_JSON}]}}'


async def test_node_services_of_an_unknown_node(site: Site) -> None:
    site.agent.answer(CATALOG_NODE_SERVICE_LIST, IndexedNodeServiceList(index=8))
    assert (await site.get("/v1/catalog/node-services/none")).text == '{"Node":null,"Services":null}'


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("catalog/node/", "Missing node name"),
        ("catalog/node-services/", "Missing node name"),
        ("catalog/service/", "Missing service name"),
        ("catalog/connect/", "Missing service name"),
        ("catalog/gateway-services/", "Missing gateway name"),
    ],
)
async def test_names_are_needed(site: Site, path: str, text: str) -> None:
    got = await site.get(f"/v1/{path}")
    assert (got.status, got.text) == (400, text)
    assert "X-Consul-Index" not in got.headers


@pytest.mark.parametrize("path", ["nodes", "services", "service/s", "connect/s", "node/n", "node-services/n"])
async def test_failed_reads_say_that_nothing_is_known(site: Site, path: str) -> None:
    site.agent.answer_all(RpcError("No path to datacenter"))
    got = await site.get(f"/v1/catalog/{path}?dc=nowhere")
    assert (got.status, got.text) == (500, "No path to datacenter")
    assert (got.headers["X-Consul-Index"], got.headers["X-Consul-Knownleader"]) == ("1", "false")
    assert "X-Consul-Effective-Consistency" not in got.headers


async def test_register(site: Site) -> None:
    site.agent.answer(CATALOG_REGISTER, Empty())
    body = '{"node":"n","Address":"a","service":{"service":"s","port":80},"checks":[{"name":"c"}]} trailing'
    got = await site.put("/v1/catalog/register?dc=ignored&token=t", body)
    assert (got.status, got.json) == (200, True)
    assert "X-Consul-Index" not in got.headers
    request = site.agent.requests(CATALOG_REGISTER)[0]
    assert (request.node, request.address, request.datacenter, request.token) == ("n", "a", "dc1", "t")
    assert request.service is not None
    assert (request.service.service, request.service.port) == ("s", 80)
    assert request.checks is not None
    assert request.checks[0].name == "c"


async def test_deregister_elsewhere(site: Site) -> None:
    site.agent.answer(CATALOG_DEREGISTER, RpcError("No path to datacenter"))
    got = await site.put("/v1/catalog/deregister", {"Node": "n", "Datacenter": "nowhere"})
    assert (got.status, got.text) == (500, "No path to datacenter")
    assert site.agent.requests(CATALOG_DEREGISTER)[0].datacenter == "nowhere"


@pytest.mark.parametrize("path", ["register", "deregister"])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "Request decode failed: EOF"),
        ("{bad", "Request decode failed: invalid character 'b' looking for beginning of object key string"),
        ('{"Node":5}', "Request decode failed: json: cannot unmarshal number into Go struct field"),
    ],
)
async def test_bad_bodies(site: Site, path: str, body: str, text: str) -> None:
    got = await site.put(f"/v1/catalog/{path}", body)
    assert got.status == 400
    assert got.text.startswith(text)
    assert site.agent.calls == []


async def test_datacenters_carry_no_index(site: Site) -> None:
    site.agent.answer(CATALOG_LIST_DATACENTERS, ["dc1", "dc2"])
    got = await site.get("/v1/catalog/datacenters")
    assert got.text == '["dc1","dc2"]'
    assert "X-Consul-Index" not in got.headers


async def test_status(site: Site) -> None:
    site.agent.answer(STATUS_LEADER, "10.0.0.1:8300")
    site.agent.answer(STATUS_PEERS, ["10.0.0.1:8300"])
    assert (await site.get("/v1/status/leader?stale")).text == '"10.0.0.1:8300"'
    assert (await site.get("/v1/status/peers?dc=dc2")).text == '["10.0.0.1:8300"]'
    assert site.agent.requests(STATUS_PEERS)[0].datacenter == "dc2"
