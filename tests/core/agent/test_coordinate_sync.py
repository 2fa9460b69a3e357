"""An agent tells where it stands, as often as Consul's do."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any, cast

from consul_kernel.agent.coordinate_sync import CoordinateSync
from consul_kernel.contracts.errors import RpcError
from consul_kernel.contracts.membership import Membership
from consul_kernel.structs.coordinate import Coordinate, CoordinateUpdateRequest
from consul_kernel.structs.methods import COORDINATE_UPDATE, Method
from consul_kernel.testing.virtual_time import run_virtual


class Pool:
    def __init__(self, coordinate: Coordinate | None) -> None:
        self.stands = coordinate

    def coordinate(self, name: str = "") -> Coordinate | None:
        return self.stands


class Servers:
    def __init__(self) -> None:
        self.told: list[tuple[float, CoordinateUpdateRequest]] = []
        self.error: Exception | None = None

    async def call(self, method: Method[Any, Any], request: Any) -> None:
        assert method is COORDINATE_UPDATE
        self.told.append((asyncio.get_running_loop().time(), request))
        if self.error is not None:
            raise self.error


def sync(pool: object, servers: Servers, members: int) -> CoordinateSync:
    return CoordinateSync(
        datacenter="dc1",
        node_name="a",
        lan=cast("Membership", pool),
        call=servers.call,
        member_count=lambda: members,
        rng=random.Random(1),
    )


def gaps(members: int) -> list[float]:
    async def program() -> list[float]:
        servers = Servers()
        servers.error = RpcError("No cluster leader")
        running = asyncio.create_task(sync(Pool(Coordinate(error=0.5)), servers, members).run())
        await asyncio.sleep(80_000)
        running.cancel()
        assert servers.told[0][1] == CoordinateUpdateRequest(datacenter="dc1", node="a", coord=Coordinate(error=0.5))
        moments = [moment for moment, _ in servers.told]
        return [later - earlier for earlier, later in itertools.pairwise(moments)]

    return run_virtual(program())


def test_every_fifteen_to_thirty_seconds_and_less_often_in_a_large_pool() -> None:
    small, large = gaps(3), gaps(64 * 100)
    assert 15 <= min(small) < 16
    assert 29 < max(small) <= 30
    assert 100 <= min(large) < 102
    assert 198 < max(large) <= 200


def first(pool: Pool, members: int, learnt: Coordinate | None) -> float:
    """When an agent tells for the first time that it is somewhere, if it has learnt so after a second."""

    async def program() -> float:
        servers = Servers()
        running = asyncio.create_task(sync(pool, servers, members).run())
        await asyncio.sleep(1)
        pool.stands = learnt
        await asyncio.sleep(1000)
        running.cancel()
        return servers.told[0][0] if servers.told else -1

    return run_virtual(program())


def test_the_first_time_is_soon_if_anything_was_measured() -> None:
    assert 2 <= first(Pool(Coordinate()), 3, Coordinate(error=0.5)) <= 4.1
    assert 17 <= first(Pool(Coordinate()), 3, Coordinate()) <= 34.1
    assert 10 < first(Pool(Coordinate()), 64 * 100, Coordinate(error=0.5)) <= 104
    assert first(Pool(Coordinate()), 3, None) == -1


def test_without_coordinates_there_is_nothing_to_tell() -> None:
    async def program() -> None:
        for pool in (Pool(None), object()):
            async with asyncio.timeout(1):
                await sync(pool, Servers(), 3).run()

    run_virtual(program())
