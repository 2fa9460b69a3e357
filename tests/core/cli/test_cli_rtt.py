"""`rtt`: estimates from the coordinates that the agent tells."""

from __future__ import annotations

from typing import Any

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent


def place(node: str, ms: float, segment: str = "") -> dict[str, Any]:
    coord = {"Vec": [ms / 1000, 0, 0, 0, 0, 0, 0, 0], "Error": 0.1, "Adjustment": 0, "Height": 0}
    return {"Node": node, "Segment": segment, "Coord": coord}


SELF = {"Config": {"NodeName": "a", "Datacenter": "dc1"}}
AREAS = [
    {"Datacenter": "dc1", "AreaID": "wan", "Coordinates": [place("a", 0), place("b", 1)]},
    {"Datacenter": "dc2", "AreaID": "wan", "Coordinates": [place("t", 40.5)]},
    {"Datacenter": "dc3", "AreaID": "elsewhere", "Coordinates": [place("x", 1)]},
    {"Datacenter": "dc4", "AreaID": "wan", "Coordinates": None},
]


@pytest.fixture
def agent(http_agent: FakeHttpAgent) -> FakeHttpAgent:
    http_agent.answer("GET /v1/agent/self", SELF)
    http_agent.answer("GET /v1/coordinate/nodes", [place("a", 0), place("b", 2), place("c", 1, "x")])
    http_agent.answer("GET /v1/coordinate/datacenters", AREAS)
    return http_agent


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a", "b"), "Estimated a <-> b rtt: 2.000 ms (using LAN coordinates)"),
        (("b",), "Estimated b <-> a rtt: 2.000 ms (using LAN coordinates)"),
        (("-wan", "a.dc1", "T.dc2"), "Estimated a.dc1 <-> T.dc2 rtt: 40.500 ms (using WAN coordinates)"),
        (("-wan", "t.dc2"), "Estimated t.dc2 <-> a.dc1 rtt: 40.500 ms (using WAN coordinates)"),
    ],
)
def test_estimates_in_consuls_words(agent: FakeHttpAgent, run: Run, arguments: tuple[str, ...], said: str) -> None:
    ran = run("rtt", *arguments)
    assert (ran.code, ran.out) == (0, f"{said}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "One or two node names must be specified"),
        (("a", "b", "c"), "One or two node names must be specified"),
        (("-wan", "a"), "Node names must be specified as <node name>.<datacenter> with -wan"),
        (("-wan", "a.dc1", "t.x.dc2"), "Node names must be specified as <node name>.<datacenter> with -wan"),
        (("a", "nobody"), 'Could not find a coordinate for node "nobody"'),
        (("-wan", "y.dc4"), 'Could not find a coordinate for node "y.dc4"'),
        (("a", "c"), "The coordinates of a and c have no area in common"),
        (("-wan", "a.dc1", "x.dc3"), "have no area in common"),
    ],
)
def test_what_cannot_be_told(agent: FakeHttpAgent, run: Run, arguments: tuple[str, ...], said: str) -> None:
    ran = run("rtt", *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert said in ran.err


def test_an_agent_that_refuses(http_agent: FakeHttpAgent, run: Run) -> None:
    http_agent.answer("GET /v1/coordinate/nodes", b"Coordinate support disabled", status=401)
    ran = run("rtt", "a", "b")
    assert ran.code == 1
    assert "Error getting coordinates: Unexpected response code: 401 (Coordinate support disabled)" in ran.err
