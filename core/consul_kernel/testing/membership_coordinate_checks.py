"""The membership contract's section 13: network coordinates."""

from __future__ import annotations

import asyncio
import math
import statistics

from consul_kernel.contracts.membership_capabilities import CoordinateMembership
from consul_kernel.structs.coordinate import DIMENSIONS, Coordinate

from .clauses import require
from .membership_world import Agent, Check, PoolWorld
from .memory_network import LinkQuality

_PLACES_MS = (2.0, 10.0, 15.0, 22.0, 30.0)
"""Where the hosts stand on a line; half a round trip is the way between two of them, and what each adds."""
_ACCESS_MS = 1.0
_MEASURING_S = 240.0
_RELATIVE_ERROR_MAX = 0.2
_WATCHED_S = 60


def _coordinates(agent: Agent) -> CoordinateMembership:
    membership = agent.membership
    require(isinstance(membership, CoordinateMembership), "13.1: the membership has no `coordinate`")
    assert isinstance(membership, CoordinateMembership)
    return membership


def _way_ms(a: int, b: int) -> float:
    return abs(_PLACES_MS[a] - _PLACES_MS[b]) + _ACCESS_MS


async def check_13_1_estimates_approach_what_is_measured(world: PoolWorld) -> None:
    """13.1: estimated round-trip times approach the measured ones, and everybody probed has a coordinate."""
    agents = await world.pool(len(_PLACES_MS))
    pairs = [(a, b) for a in range(len(agents)) for b in range(len(agents)) if a != b]
    for a, b in pairs:
        way = _way_ms(a, b)
        quality = LinkQuality(delay_ms_min=way, delay_ms_max=way * 1.02)
        world.network.set_quality(quality, agents[a].host, agents[b].host)
    await asyncio.sleep(_MEASURING_S)
    errors = []
    for a, b in pairs:
        own, other = _coordinates(agents[a]).coordinate(), _coordinates(agents[a]).coordinate(agents[b].name)
        require(own is not None, "13.1: an agent has no coordinate of its own")
        require(other is not None, f"13.1: {agents[a].name} probed {agents[b].name} and knows no coordinate")
        assert own is not None
        assert other is not None
        measured_s = 2 * _way_ms(a, b) / 1000
        errors.append(abs(own.distance_s(other) - measured_s) / measured_s)
    median = statistics.median(errors)
    require(median < _RELATIVE_ERROR_MAX, f"13.1: half of the estimates are wrong by {median:.0%} and more")


def _is_valid(coordinate: Coordinate) -> bool:
    numbers = (*coordinate.vec, coordinate.error, coordinate.adjustment, coordinate.height)
    return len(coordinate.vec) == DIMENSIONS and all(map(math.isfinite, numbers))


async def check_13_2_nothing_received_makes_one_invalid(world: PoolWorld) -> None:
    """13.2: no coordinate becomes infinite or no number, or gets other dimensions, whatever packets hold."""
    agents = await world.pool(3)
    world.network.set_quality(LinkQuality(damage_rate=0.5))
    for _ in range(_WATCHED_S):
        await asyncio.sleep(1.0)
        for agent in agents:
            known = [_coordinates(agent).coordinate(name) for name in ("", *agent.statuses())]
            require(all(_is_valid(found) for found in known if found is not None), "13.2: an invalid coordinate")
            require(known[0] is not None, "13.2: an agent's own coordinate is lost")


async def check_13_3_switched_off_there_are_none(world: PoolWorld) -> None:
    """13.3: with `context.coordinates` False none is kept, none is sent, and `coordinate` answers None."""
    off = await world.add("off", coordinates=False)
    on, other = await world.add("on"), await world.add("other")
    for agent in (on, other):
        await agent.membership.join([off.address])
    await world.until(lambda: _coordinates(on).coordinate("other") is not None, "13.3: the others measure")
    await asyncio.sleep(30)
    for name in ("", "off", "on", "other"):
        require(_coordinates(off).coordinate(name) is None, "13.3: a coordinate where they are switched off")
    require(_coordinates(on).coordinate("off") is None, "13.3: a coordinate of whom they are switched off for")


COORDINATE_CHECKS: tuple[Check, ...] = (
    check_13_1_estimates_approach_what_is_measured,
    check_13_2_nothing_received_makes_one_invalid,
    check_13_3_switched_off_there_are_none,
)
