"""`/v1/coordinate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consul_kernel.structs.coordinate import Coordinate, DatacenterMap, IndexedCoordinates, NodeCoordinate
from consul_kernel.structs.methods import (
    COORDINATE_LIST_DATACENTERS,
    COORDINATE_LIST_NODES,
    COORDINATE_NODE,
    COORDINATE_UPDATE,
)
from consul_kernel.structs.record import Empty
from consul_kernel.structs.settings import HttpSettings
from consul_kernel_http.gojson import encode, number

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Serve, Site

PLACE = Coordinate(vec=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.5], error=0.5, adjustment=0.25, height=0.001)
PLACE_JSON = '{"Vec":[1,2,3,4,5,6,7,8.5],"Error":0.5,"Adjustment":0.25,"Height":0.001}'
NODES = [NodeCoordinate(node="a", coord=PLACE), NodeCoordinate(node="a", segment="x", coord=PLACE)]


async def test_nodes_and_one_node(site: Site) -> None:
    site.agent.answer(COORDINATE_LIST_NODES, IndexedCoordinates(index=7, known_leader=True, coordinates=NODES))
    got = await site.get("/v1/coordinate/nodes?dc=dc2")
    plain, other = (f'{{"Node":"a","Segment":"{segment}","Coord":{PLACE_JSON}}}' for segment in ("", "x"))
    assert (got.text, got.headers["X-Consul-Index"]) == (f"[{plain},{other}]", "7")
    assert site.agent.requests(COORDINATE_LIST_NODES)[0].datacenter == "dc2"
    assert (await site.get("/v1/coordinate/nodes?segment=x")).text == f"[{other}]"
    assert (await site.get("/v1/coordinate/nodes?segment=")).text == f"[{plain}]"
    site.agent.answer(COORDINATE_NODE, IndexedCoordinates(index=7, coordinates=NODES[:1]))
    assert (await site.get("/v1/coordinate/node/a")).text == f"[{plain}]"
    assert site.agent.requests(COORDINATE_NODE)[0].node == "a"
    assert (await site.get("/v1/coordinate/node/a?segment=x")).status == 404


async def test_nothing_known_is_an_empty_list_or_404(site: Site) -> None:
    site.agent.answer(COORDINATE_LIST_NODES, IndexedCoordinates(index=1))
    site.agent.answer(COORDINATE_NODE, IndexedCoordinates(index=1))
    site.agent.answer(COORDINATE_LIST_DATACENTERS, [])
    assert (await site.get("/v1/coordinate/nodes")).text == "[]"
    missing = await site.get("/v1/coordinate/node/a")
    assert (missing.status, missing.body, "X-Consul-Index" in missing.headers) == (404, b"", False)
    assert (await site.get("/v1/coordinate/datacenters")).text == "[]"


async def test_datacenters(site: Site) -> None:
    site.agent.answer(
        COORDINATE_LIST_DATACENTERS,
        [DatacenterMap(datacenter="dc1", area_id="wan", coordinates=NODES[:1]), DatacenterMap(datacenter="dc2")],
    )
    assert (await site.get("/v1/coordinate/datacenters")).text == (
        f'[{{"Datacenter":"dc1","AreaID":"wan","Coordinates":[{{"Node":"a","Segment":"","Coord":{PLACE_JSON}}}]}},'
        '{"Datacenter":"dc2","AreaID":"","Coordinates":[]}]'
    )


async def test_update(site: Site) -> None:
    site.agent.answer(COORDINATE_UPDATE, Empty())
    got = await site.put("/v1/coordinate/update?dc=dc2", f'{{"Node":"a","Coord":{PLACE_JSON}}}')
    assert (got.status, got.body) == (200, b"")
    (request,) = site.agent.requests(COORDINATE_UPDATE)
    assert (request.node, request.coord, request.datacenter) == ("a", PLACE, "dc2")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "Request decode failed: EOF"),
        ('{"Node":"a"}', "Missing coordinate"),
        ('{"Node":"a","Coord":null}', "Missing coordinate"),
        ('{"Node":"a","Coord":{"Vec":["x"]}}', "Request decode failed: json: cannot unmarshal string"),
    ],
)
async def test_bad_updates(site: Site, body: str, text: str) -> None:
    got = await site.put("/v1/coordinate/update", body)
    assert got.status == 400
    assert got.text.startswith(text)
    assert site.agent.calls == []


async def test_disabled(serve: Serve) -> None:
    site = await serve(http=HttpSettings(disable_coordinates=True))
    for method, path in (
        ("GET", "nodes"),
        ("GET", "node/a"),
        ("GET", "datacenters"),
        ("PUT", "update"),
    ):
        got = await site.send(method, f"/v1/coordinate/{path}", "{}")
        assert (got.status, got.text) == (401, "Coordinate support disabled")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.5, "0.5"),
        (1e-05, "0.00001"),
        (-1.25e-06, "-0.00000125"),
        (1e-07, "1e-7"),
        (2.5e-10, "2.5e-10"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
    ],
)
def test_floats_are_written_as_go_writes_them(value: float, text: str) -> None:
    assert encode([number(value)]) == f"[{text}]".encode()
