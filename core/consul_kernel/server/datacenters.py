"""How far the datacenters are, as the WAN pool estimates it (Consul: `agent/router/router.go`)."""

from __future__ import annotations

import math

from consul_kernel.agent.tags import server_tags
from consul_kernel.contracts.membership import Member, Membership, MemberStatus
from consul_kernel.contracts.membership_capabilities import CoordinateMembership
from consul_kernel.structs.coordinate import Coordinate, DatacenterMap, NodeCoordinate

WAN_AREA = "wan"


class Datacenters:
    """What a server knows of distances. Without a WAN pool, or one without coordinates, all is infinitely far."""

    def __init__(self, datacenter: str, wan: Membership | None) -> None:
        self._datacenter = datacenter
        self._wan = wan
        self._coordinates: CoordinateMembership | None = wan if isinstance(wan, CoordinateMembership) else None

    def by_distance(self) -> list[str]:
        """The known datacenters, nearest first: by the median of the round-trip times to their servers, then by name.

        Our own is at distance zero. Servers that have failed count; those that left do not.
        """
        distances: dict[str, list[float]] = {self._datacenter: [0.0]}
        for datacenter, member in self._servers():
            if datacenter != self._datacenter:
                distances.setdefault(datacenter, []).append(self.distance_s(member.name))
        return sorted(distances, key=lambda name: (_median(distances[name]), name))

    def distance_s(self, wan_name: str) -> float:
        """The estimated round-trip time to another server, by its name in the WAN pool; infinite if unknown."""
        here, there = self._coordinate(""), self._coordinate(wan_name)
        return here.distance_s(there) if here is not None and there is not None else math.inf

    def maps(self) -> list[DatacenterMap]:
        """The coordinates of every datacenter's servers, as far as they are known."""
        if self._wan is None or self._coordinates is None:
            return []
        own_name = self._wan.local_member.name
        found: dict[str, list[NodeCoordinate]] = {}
        for datacenter, member in self._servers():
            coordinate = self._coordinate("" if member.name == own_name else member.name)
            if coordinate is not None:
                node = member.name.removesuffix(f".{datacenter}")
                found.setdefault(datacenter, []).append(NodeCoordinate(node=node, coord=coordinate))
        return [
            DatacenterMap(datacenter=datacenter, area_id=WAN_AREA, coordinates=nodes)
            for datacenter, nodes in sorted(found.items())
        ]

    def _servers(self) -> list[tuple[str, Member]]:
        """Every server of the WAN pool that did not leave, with its datacenter."""
        members = self._wan.members() if self._wan is not None else ()
        servers = [(server_tags(member), member) for member in members if member.status is not MemberStatus.LEFT]
        return [(server.datacenter, member) for server, member in servers if server is not None]

    def _coordinate(self, wan_name: str) -> Coordinate | None:
        return self._coordinates.coordinate(wan_name) if self._coordinates is not None else None


def _median(distances: list[float]) -> float:
    """The middle one, of an even number the farther of the two in the middle, as Consul reckons."""
    return sorted(distances)[len(distances) // 2]
