"""`?dc=`: every read and write that takes it asks that datacenter, and an unknown one is told in Consul's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.methods import CATALOG_LIST_DATACENTERS

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

READS = (
    "/v1/kv/a",
    "/v1/kv/a?recurse",
    "/v1/kv/a?keys",
    "/v1/kv/a?raw",
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/service/web",
    "/v1/catalog/connect/web",
    "/v1/catalog/gateway-services/gw",
    "/v1/catalog/node/n",
    "/v1/catalog/node-services/n",
    "/v1/health/node/n",
    "/v1/health/checks/web",
    "/v1/health/state/any",
    "/v1/health/service/web",
    "/v1/health/connect/web",
    "/v1/health/ingress/web",
    "/v1/status/leader",
    "/v1/status/peers",
)
WRITES = (
    ("PUT", "/v1/kv/a", "1"),
    ("PUT", "/v1/kv/a?cas=1", "1"),
    ("DELETE", "/v1/kv/a", ""),
    ("DELETE", "/v1/kv/a?recurse", ""),
    ("PUT", "/v1/event/fire/deploy", ""),
    ("PUT", "/v1/catalog/register", '{"Datacenter": "dc2", "Node": "n", "Address": "10.0.0.1"}'),
    ("PUT", "/v1/catalog/deregister", '{"Datacenter": "dc2", "Node": "n"}'),
)
REQUESTS = [*(("GET", path, "") for path in READS), *WRITES]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS, ids=lambda part: part[:60])
async def test_it_is_asked_of_that_datacenter(site: Site, method: str, path: str, body: str) -> None:
    site.agent.answer_all(RpcError("No path to datacenter"))
    target = path if "catalog/" in path and method == "PUT" else f"{path}{'&' if '?' in path else '?'}dc=dc2"
    got = await site.send(method, target, body or None)
    assert (got.status, got.text) == (500, "No path to datacenter")
    assert [request.datacenter for _, request in site.agent.calls] == ["dc2"]


async def test_the_list_of_datacenters_is_our_own(site: Site) -> None:
    site.agent.answer(CATALOG_LIST_DATACENTERS, ["dc1", "dc2"])
    assert (await site.get("/v1/catalog/datacenters?dc=dc2")).json == ["dc1", "dc2"]
    assert site.agent.requests(CATALOG_LIST_DATACENTERS)[0].datacenter == ""
