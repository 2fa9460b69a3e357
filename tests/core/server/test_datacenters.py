"""Distances between datacenters, as Consul reckons them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from consul_kernel.agent.tags import lan_tags, wan_tags
from consul_kernel.contracts.membership import Member, Membership, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.server.datacenters import Datacenters
from consul_kernel.structs.coordinate import HEIGHT_MIN, Coordinate


def member(name: str, status: MemberStatus = MemberStatus.ALIVE) -> Member:
    tags = wan_tags(lan_tags(datacenter=name.rpartition(".")[2], node_id=f"id-{name}", server_port=8300))
    return Member(name=name, address=Address("10.0.0.1", 8302), tags=tags, status=status)


def at(ms: float) -> Coordinate:
    """A place so far from the origin, one way."""
    return Coordinate(vec=[ms / 1000, *[0.0] * 7])


class Pool:
    """A WAN pool seen from `s1.dc1`, which is at the origin."""

    def __init__(self, members: Sequence[Member], places: Mapping[str, Coordinate]) -> None:
        self._members = members
        self._places = {"": at(0), **places}

    @property
    def local_member(self) -> Member:
        return self._members[0]

    def members(self) -> Sequence[Member]:
        return self._members

    def coordinate(self, name: str = "") -> Coordinate | None:
        return self._places.get(name)


def datacenters(members: Sequence[Member], **places: float) -> Datacenters:
    by_name = {name.replace("_", "."): at(ms) for name, ms in places.items()}
    return Datacenters("dc1", cast("Membership", Pool([member("s1.dc1"), *members], by_name)))


def test_our_own_comes_first_then_the_nearest_by_the_median() -> None:
    known = datacenters(
        [member(f"{name}.{dc}") for dc in ("aa", "bb", "cc") for name in ("x", "y", "z")],
        x_aa=1, y_aa=90, z_aa=95, x_bb=50, y_bb=60, z_bb=900, x_cc=200,
    )  # fmt: skip
    assert known.by_distance() == ["dc1", "bb", "aa", "cc"]


def test_the_unknown_are_last_and_ordered_by_name() -> None:
    known = datacenters([member("x.zz"), member("x.bb"), member("x.yy")], x_zz=1000)
    assert known.by_distance() == ["dc1", "zz", "bb", "yy"]


def test_servers_that_left_do_not_count_and_failed_ones_do() -> None:
    known = datacenters([member("x.dc2", MemberStatus.LEFT), member("x.dc3", MemberStatus.FAILED)])
    assert known.by_distance() == ["dc1", "dc3"]


def test_distances_are_infinite_where_nothing_is_known() -> None:
    known = datacenters([member("x.dc2")], x_dc2=10)
    assert known.distance_s("x.dc2") == 0.010 + 2 * HEIGHT_MIN
    assert known.distance_s("y.dc2") == math.inf
    alone = Datacenters("dc1", None)
    assert (alone.distance_s("x.dc2"), alone.by_distance(), alone.maps()) == (math.inf, ["dc1"], [])


def test_maps_tell_the_servers_that_have_a_place() -> None:
    known = datacenters([member("x.dc2"), member("y.dc2"), member("x.dc3")], x_dc2=10)
    (own, other) = known.maps()
    assert (own.datacenter, own.area_id, [entry.node for entry in own.coordinates or []]) == ("dc1", "wan", ["s1"])
    assert (other.datacenter, [(entry.node, entry.coord) for entry in other.coordinates or []]) == (
        "dc2",
        [("x", at(10))],
    )


class WithoutCoordinates:
    """A membership that lacks the capability."""

    def members(self) -> Sequence[Member]:
        return [member("s1.dc1"), member("x.dc2")]


def test_a_membership_without_coordinates_lists_datacenters_all_the_same() -> None:
    known = Datacenters("dc1", cast("Membership", WithoutCoordinates()))
    assert (known.by_distance(), known.maps()) == (["dc1", "dc2"], [])
