"""`consul-kernel rtt`."""

from __future__ import annotations

import math
from typing import Any

from consul_kernel.cli.client import CLIENT_FLAGS, AgentClient, AgentError
from consul_kernel.cli.command import EXIT_OK, Command, fail
from consul_kernel.cli.flags import Arguments, Flag, FlagType
from consul_kernel.structs.coordinate import Coordinate

_MS_PER_S = 1000.0

Place = tuple[str, Coordinate]
"""The area in which a coordinate has a meaning, and the coordinate."""


def _run(arguments: Arguments) -> int:
    names = list(arguments.positional)
    if not 1 <= len(names) <= 2:
        return fail("One or two node names must be specified")
    wan = arguments.is_set("wan")
    client = AgentClient(arguments)
    try:
        if len(names) < 2:
            names.append(_own_name(client, wan=wan))
        if wan and any(name.count(".") != 1 for name in names):
            return fail("Node names must be specified as <node name>.<datacenter> with -wan")
        found = [_wan_places(client, name) for name in names] if wan else [_lan_places(client, name) for name in names]
    except AgentError as error:
        return fail(f"Error getting coordinates: {error}")
    for name, places in zip(names, found, strict=True):
        if not places:
            return fail(f'Could not find a coordinate for node "{name}"')
    distance_s = _distance_s(*found)
    if math.isinf(distance_s):
        return fail(f"The coordinates of {names[0]} and {names[1]} have no area in common")
    print(
        f"Estimated {names[0]} <-> {names[1]} rtt: {distance_s * _MS_PER_S:.3f} ms "
        f"(using {'WAN' if wan else 'LAN'} coordinates)"
    )
    return EXIT_OK


def _own_name(client: AgentClient, *, wan: bool) -> str:
    config = client.get_json("/v1/agent/self")["Config"]
    return f"{config['NodeName']}.{config['Datacenter']}" if wan else str(config["NodeName"])


def _lan_places(client: AgentClient, name: str) -> list[Place]:
    entries = client.get_json("/v1/coordinate/nodes") or []
    return [(entry["Segment"], _coordinate(entry["Coord"])) for entry in entries if entry["Node"] == name]


def _wan_places(client: AgentClient, name: str) -> list[Place]:
    """A server's coordinates; the name of a node is compared without regard to case."""
    node, _, datacenter = name.partition(".")
    return [
        (area["AreaID"], _coordinate(entry["Coord"]))
        for area in client.get_json("/v1/coordinate/datacenters") or []
        if area["Datacenter"] == datacenter
        for entry in area["Coordinates"] or []
        if entry["Node"].lower() == node.lower()
    ]


def _coordinate(document: dict[str, Any]) -> Coordinate:
    return Coordinate(
        vec=document["Vec"],
        error=document["Error"],
        adjustment=document["Adjustment"],
        height=document["Height"],
    )


def _distance_s(ours: list[Place], theirs: list[Place]) -> float:
    """The round-trip time in an area that both have a coordinate in; infinite where there is none."""
    there = dict(theirs)
    return min((place.distance_s(there[area]) for area, place in ours if area in there), default=math.inf)


COMMANDS = (
    Command(
        "rtt",
        "rtt [options] NODE [NODE]",
        "Estimates the round-trip time between two nodes",
        _run,
        (
            *CLIENT_FLAGS,
            Flag("wan", FlagType.BOOL, "Use the WAN pool: nodes are servers, named NODE.DATACENTER."),
        ),
        "Estimates, from the network coordinates that agents keep, how long a packet needs from one node to another "
        "and back. The second node is the agent's own unless it is given.",
    ),
)
