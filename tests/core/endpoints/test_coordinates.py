"""Coordinates: what is taken, where it can be read, and how answers are ordered by it."""

from __future__ import annotations

import asyncio
import math

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.server.coordinates import BATCH_UPDATES, MAX_BATCHES, PERIOD_S, CoordinateUpdates
from consul_kernel.state.commands import CommandType, encode_command
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.coordinate import (
    Coordinate,
    CoordinateBatch,
    CoordinateUpdateRequest,
    DatacenterMap,
    NodeCoordinate,
)
from consul_kernel.structs.methods import (
    CATALOG_LIST_NODES,
    CATALOG_SERVICE_NODES,
    COORDINATE_LIST_DATACENTERS,
    COORDINATE_LIST_NODES,
    COORDINATE_NODE,
    COORDINATE_UPDATE,
    HEALTH_CHECKS_IN_STATE,
    HEALTH_SERVICE_CHECKS,
    HEALTH_SERVICE_NODES,
)
from consul_kernel.structs.query import (
    ChecksInStateRequest,
    DCSpecificRequest,
    NodeSpecificRequest,
    QuerySource,
    ServiceSpecificRequest,
)
from consul_kernel.structs.record import Empty
from consul_kernel.structs.service import NodeService
from consul_kernel.testing.virtual_time import run_virtual
from core.endpoints.harness import Endpoints


def at(ms: float) -> Coordinate:
    return Coordinate(vec=[ms / 1000, *[0.0] * 7])


def place(node: str, ms: float, segment: str = "") -> NodeCoordinate:
    return NodeCoordinate(node=node, segment=segment, coord=at(ms))


async def apply(endpoints: Endpoints, *updates: NodeCoordinate) -> None:
    await endpoints.context.propose(CommandType.COORDINATES, CoordinateBatch(updates=list(updates)))


async def with_nodes(*names: str) -> Endpoints:
    endpoints = Endpoints()
    for name in names:
        service = NodeService(id="web", service="web")
        check = HealthCheck(node=name, check_id="alive", status="passing", service_id="web")
        await endpoints.register(RegisterRequest(node=name, address="10.0.0.1", service=service, check=check))
    return endpoints


# --- updates ---


@pytest.mark.parametrize(
    ("coordinate", "text"),
    [
        (None, "invalid coordinate"),
        (Coordinate(error=math.nan), "invalid coordinate"),
        (Coordinate(vec=[math.inf] + [0.0] * 7), "invalid coordinate"),
        (Coordinate(vec=[0.0, 0.0]), "incompatible coordinate"),
    ],
)
async def test_what_is_no_place_is_refused(coordinate: Coordinate | None, text: str) -> None:
    endpoints = Endpoints()
    with pytest.raises(RpcError, match=text):
        await endpoints.call(COORDINATE_UPDATE, CoordinateUpdateRequest(node="n", coord=coordinate))
    assert endpoints.coordinate_updates == []


@pytest.mark.parametrize("name", ["x" * 1530, "\ud800"])
async def test_a_name_that_would_spoil_the_batch_is_refused(name: str) -> None:
    endpoints = Endpoints()
    for request in (
        CoordinateUpdateRequest(node=name, coord=at(1)),
        CoordinateUpdateRequest(node="n", segment=name, coord=at(1)),
    ):
        with pytest.raises(RpcError):
            await endpoints.call(COORDINATE_UPDATE, request)
    assert endpoints.coordinate_updates == []


async def test_an_update_is_collected() -> None:
    endpoints = Endpoints()
    await endpoints.call(COORDINATE_UPDATE, CoordinateUpdateRequest(node="n", coord=at(1)))
    assert endpoints.coordinate_updates == [place("n", 1)]


class Log:
    """What was proposed, and when."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, int]] = []
        self.newest: dict[str, float] = {}
        self.error: Exception | None = None

    async def propose(self, batch: CoordinateBatch) -> None:
        if self.error is not None:
            raise self.error
        self.batches.append((asyncio.get_running_loop().time(), len(batch.updates)))
        self.newest.update((update.node, update.coord.vec[0]) for update in batch.updates)


def test_updates_of_a_period_are_few_entries_and_only_the_newest_of_each_agent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def program() -> None:
        log = Log()
        updates = CoordinateUpdates(log.propose)
        begun = asyncio.get_running_loop().time()
        for number in range(BATCH_UPDATES * MAX_BATCHES + 10):
            updates.add(place(f"n{number}", 1))
        updates.add(place("N0", 2))
        await asyncio.sleep(PERIOD_S + 1)
        assert [size for _, size in log.batches] == [BATCH_UPDATES] * MAX_BATCHES
        assert {moment - begun for moment, _ in log.batches} == {PERIOD_S}
        assert log.newest["N0"] == 0.002
        await asyncio.sleep(100)
        assert len(log.batches) == MAX_BATCHES, "nothing is written while nobody tells"
        updates.add(place("n1", 3))
        await asyncio.sleep(PERIOD_S + 1)
        assert log.batches[-1][1] == 1
        await updates.aclose()

    run_virtual(program())
    assert "10 updates of coordinates were dropped" in caplog.text


def test_updates_that_cannot_be_written_are_forgotten() -> None:
    async def program() -> None:
        log = Log()
        log.error = RpcError("No cluster leader")
        updates = CoordinateUpdates(log.propose)
        updates.add(place("n", 1))
        await asyncio.sleep(PERIOD_S + 1)
        log.error = None
        updates.add(place("m", 1))
        await asyncio.sleep(PERIOD_S + 1)
        assert log.newest == {"m": 0.001}
        updates.add(place("k", 1))
        await updates.aclose()
        updates.add(place("too late", 1))
        await asyncio.sleep(PERIOD_S + 1)
        assert log.newest == {"m": 0.001}

    run_virtual(program())


def test_the_command_is_consuls_and_may_be_skipped_by_those_who_do_not_know_it() -> None:
    assert encode_command(CommandType.COORDINATES, CoordinateBatch())[0] == 134


# --- reads ---


async def test_nodes_of_the_catalog_have_places_and_lose_them_with_their_registration() -> None:
    endpoints = await with_nodes("a", "b")
    reply = await endpoints.call(COORDINATE_LIST_NODES, DCSpecificRequest())
    assert (reply.index, reply.coordinates) == (1, None)
    await apply(endpoints, place("b", 2), place("a", 1), place("stranger", 3))
    reply = await endpoints.call(COORDINATE_LIST_NODES, DCSpecificRequest())
    assert (reply.index, reply.coordinates) == (endpoints.state.applied_index, [place("a", 1), place("b", 2)])
    one = await endpoints.call(COORDINATE_NODE, NodeSpecificRequest(node="B"))
    assert one.coordinates == [place("b", 2)]
    await endpoints.deregister(DeregisterRequest(node="b"))
    one = await endpoints.call(COORDINATE_NODE, NodeSpecificRequest(node="b"))
    assert (one.index, one.coordinates) == (endpoints.state.applied_index, None)
    assert (await endpoints.call(COORDINATE_LIST_NODES, DCSpecificRequest())).coordinates == [place("a", 1)]


async def test_a_query_waits_for_the_place_of_its_node_alone() -> None:
    endpoints = await with_nodes("a", "b")
    await apply(endpoints, place("a", 1))
    query = NodeSpecificRequest(node="a", min_query_index=endpoints.state.applied_index, max_query_time=10**11)
    async with endpoints.blocked(COORDINATE_NODE, query) as waiting:
        await apply(endpoints, place("b", 1))
        assert not waiting.done()
        await apply(endpoints, place("a", 5))
        assert (await waiting).coordinates == [place("a", 5)]


async def test_datacenters_are_those_of_the_wan_pool() -> None:
    endpoints = Endpoints()
    endpoints.maps = [DatacenterMap(datacenter="dc1", area_id="wan", coordinates=[place("a", 1)])]
    assert await endpoints.call(COORDINATE_LIST_DATACENTERS, Empty()) == endpoints.maps


# --- near ---


async def test_answers_come_nearest_first() -> None:
    endpoints = await with_nodes("a", "b", "c", "d")
    await apply(endpoints, place("a", 0), place("b", 30), place("c", 10))
    for source, order in (
        (QuerySource(datacenter="dc1", node="A"), "acbd"),
        (QuerySource(datacenter="dc1", node="b"), "bcad"),
        (QuerySource(datacenter="dc1", node="d"), "abcd"),
        (QuerySource(datacenter="dc2", node="b"), "abcd"),
        (QuerySource(), "abcd"),
    ):
        nodes = await endpoints.call(CATALOG_LIST_NODES, DCSpecificRequest(source=source))
        assert "".join(node.node for node in nodes.nodes or []) == order
        service = ServiceSpecificRequest(service_name="web", source=source)
        instances = await endpoints.call(CATALOG_SERVICE_NODES, service)
        assert "".join(instance.node for instance in instances.service_nodes or []) == order
        healthy = await endpoints.call(HEALTH_SERVICE_NODES, service)
        assert "".join(instance.node.node for instance in healthy.nodes or []) == order
        checks = await endpoints.call(HEALTH_SERVICE_CHECKS, service)
        assert "".join(check.node for check in checks.health_checks or []) == order
        state = await endpoints.call(HEALTH_CHECKS_IN_STATE, ChecksInStateRequest(state="any", source=source))
        assert "".join(check.node for check in state.health_checks or []) == order


async def test_segments_are_apart() -> None:
    endpoints = await with_nodes("a", "b", "c")
    await apply(endpoints, place("a", 0, "x"), place("b", 90, "x"), place("b", 1), place("c", 10, "x"))
    source = QuerySource(datacenter="dc1", node="a")
    nodes = await endpoints.call(CATALOG_LIST_NODES, DCSpecificRequest(source=source))
    assert [node.node for node in nodes.nodes or []] == ["a", "c", "b"]
