"""`Internal.NodeInfo`, `Internal.NodeDump` and `Internal.ServiceDump`."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.methods import INTERNAL_NODE_DUMP, INTERNAL_NODE_INFO, INTERNAL_SERVICE_DUMP, Method
from consul_kernel.structs.query import DCSpecificRequest, NodeSpecificRequest, QueryMeta, QueryOptions
from consul_kernel.structs.service import NodeService
from core.endpoints.harness import SECOND_NS, Endpoints

RequestT = TypeVar("RequestT", bound=QueryOptions)
ReplyT = TypeVar("ReplyT", bound=QueryMeta)


def registration(node: str, *services: str) -> list[RegisterRequest]:
    return [
        RegisterRequest(
            node=node,
            address="10.0.0.1",
            service=NodeService(id=service, service=service),
            checks=[HealthCheck(check_id=f"{service}-ok", service_id=service), HealthCheck(check_id="alive")],
        )
        for service in services
    ]


async def register(endpoints: Endpoints, node: str, *services: str) -> int:
    index = 0
    for request in registration(node, *services):
        index = await endpoints.register(request)
    return index


async def test_nodes_come_with_their_services_and_checks(endpoints: Endpoints) -> None:
    await register(endpoints, "B", "web", "db")
    index = await register(endpoints, "a", "web")
    reply = await endpoints.call(INTERNAL_NODE_DUMP, DCSpecificRequest())
    assert reply.index == index
    assert [
        (info.node, [service.id for service in info.services or []], [check.check_id for check in info.checks or []])
        for info in reply.dump or []
    ] == [("a", ["web"], ["alive", "web-ok"]), ("B", ["db", "web"], ["alive", "db-ok", "web-ok"])]


async def test_one_node_is_found_by_its_name_alone(endpoints: Endpoints) -> None:
    index = await register(endpoints, "B", "web")
    found = await endpoints.call(INTERNAL_NODE_INFO, NodeSpecificRequest(node="b"))
    assert [info.node for info in found.dump or []] == ["B"]
    absent = await endpoints.call(INTERNAL_NODE_INFO, NodeSpecificRequest(node="c"))
    assert (absent.dump, absent.index) == ([], index)


async def test_services_come_with_nodes_and_checks(endpoints: Endpoints) -> None:
    await register(endpoints, "b", "web")
    index = await register(endpoints, "a", "web", "db")
    reply = await endpoints.call(INTERNAL_SERVICE_DUMP, DCSpecificRequest())
    assert reply.index == index
    assert [
        (found.node.node, found.service.id, [check.check_id for check in found.checks]) for found in reply.nodes or []
    ] == [("a", "db", ["alive", "db-ok"]), ("a", "web", ["alive", "web-ok"]), ("b", "web", ["alive", "web-ok"])]


async def test_filters_choose_among_them(endpoints: Endpoints) -> None:
    await register(endpoints, "a", "web", "db")
    await register(endpoints, "b", "web")
    nodes = await endpoints.call(INTERNAL_NODE_DUMP, DCSpecificRequest(filter='Services.Service == "db"'))
    assert [info.node for info in nodes.dump or []] == ["a"]
    services = await endpoints.call(INTERNAL_SERVICE_DUMP, DCSpecificRequest(filter='Node.Node == "b"'))
    assert [found.node.node for found in services.nodes or []] == ["b"]
    with pytest.raises(RpcError, match="Failed to create boolean expression evaluator"):
        await endpoints.call(INTERNAL_NODE_DUMP, DCSpecificRequest(filter="Nope == 1"))
    with pytest.raises(RpcError, match="Failed to create boolean expression evaluator"):
        await endpoints.call(INTERNAL_SERVICE_DUMP, DCSpecificRequest(filter="Nope == 1"))


async def wakes(endpoints: Endpoints, method: Method[RequestT, ReplyT], request: RequestT) -> bool:
    """Whether a change of one check wakes a read that waits."""
    async with endpoints.blocked(method, request) as waiting:
        changed = await endpoints.register(
            RegisterRequest(node="a", address="10.0.0.1", check=HealthCheck(check_id="alive", status="passing"))
        )
        return (await asyncio.wait_for(waiting, 10)).index == changed


async def test_any_change_to_the_catalog_wakes_dumps(endpoints: Endpoints) -> None:
    index = await register(endpoints, "a", "web")
    request = DCSpecificRequest(min_query_index=index, max_query_time=60 * SECOND_NS)
    assert await wakes(endpoints, INTERNAL_NODE_DUMP, request)


async def test_any_change_to_the_catalog_wakes_a_dump_of_services(endpoints: Endpoints) -> None:
    index = await register(endpoints, "a", "web")
    request = DCSpecificRequest(min_query_index=index, max_query_time=60 * SECOND_NS)
    assert await wakes(endpoints, INTERNAL_SERVICE_DUMP, request)


async def test_any_change_to_the_catalog_wakes_a_read_of_one_node(endpoints: Endpoints) -> None:
    index = await register(endpoints, "a", "web")
    request = NodeSpecificRequest(node="a", min_query_index=index, max_query_time=60 * SECOND_NS)
    assert await wakes(endpoints, INTERNAL_NODE_INFO, request)
