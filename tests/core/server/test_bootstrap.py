"""When a quorum is founded, by whom, and when it must not be."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from consul_kernel.agent.tags import ServerTags
from consul_kernel.contracts.consensus import Configuration, Consensus, Server
from consul_kernel.contracts.errors import RpcError
from consul_kernel.server.bootstrap import PROMISE_MS, Bootstrap
from consul_kernel.structs.founding import FoundingReply, FoundingRequest
from consul_kernel.testing.virtual_time import run_virtual, virtual_now_ms


def server(number: int, *, expect: int = 3, bootstrap: bool = False) -> ServerTags:
    return ServerTags(
        id=f"id-{number}",
        name=f"s{number}",
        datacenter="dc1",
        host=f"127.0.0.{number}",
        port=8300,
        bootstrap=bootstrap,
        expect=expect,
        build="1.10.11",
        raft_version="3",
    )


class Founder:
    """One server with its own view of the pool; its consensus may have a past."""

    def __init__(self, world: World, number: int, *, expect: int = 3) -> None:
        self.world = world
        self.number = number
        self.configuration = Configuration()
        self.last_log_index = 0
        self.view: dict[int, ServerTags] = {}
        self.bootstrap_delay_s = 0.0
        self.bootstrapping = Bootstrap(
            consensus=cast("Consensus", self),
            node_id=f"id-{number}",
            expect=expect,
            servers=lambda: list(self.view.values()),
            ask_to_found=self._ask,
            now_ms=virtual_now_ms,
        )

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(last_log_index=self.last_log_index)

    async def bootstrap(self, servers: Sequence[Server]) -> None:
        await asyncio.sleep(self.bootstrap_delay_s)
        self.configuration = Configuration(tuple(servers), 1)

    async def _ask(self, server: ServerTags, request: FoundingRequest) -> FoundingReply:
        return await self.world.ask(self.number, int(server.id.removeprefix("id-")), request)

    def see(self, *servers: ServerTags) -> None:
        self.view |= {int(server.id.removeprefix("id-")): server for server in servers}
        self.bootstrapping.servers_changed()

    @property
    def founded(self) -> tuple[str, ...]:
        return tuple(server.id for server in self.configuration.servers)


class World:
    """Servers that can ask one another."""

    def __init__(self, count: int = 3, *, seed: int = 1, expect: int = 3) -> None:
        self.rng = random.Random(seed)
        self.latency_s = 0.001
        self.loss_rate = 0.0
        self.asked: list[tuple[int, int]] = []
        self.unreachable: set[int] = set()
        self.servers = {number: Founder(self, number, expect=expect) for number in range(1, count + 1)}

    async def ask(self, sender: int, to: int, request: FoundingRequest) -> FoundingReply:
        self.asked.append((sender, to))
        await asyncio.sleep(self.rng.random() * self.latency_s)
        if to in self.unreachable or self.rng.random() < self.loss_rate:
            raise RpcError("no answer")
        reply = self.servers[to].bootstrapping.consider(request)
        await asyncio.sleep(self.rng.random() * self.latency_s)
        return reply

    async def meet(self, *servers: ServerTags, among: Sequence[int] = ()) -> None:
        """Servers become known to all (or to some), and a while passes."""
        for number in among or self.servers:
            self.servers[number].see(*servers)
        await asyncio.sleep(3)

    @property
    def foundings(self) -> dict[int, tuple[str, ...]]:
        return {number: founder.founded for number, founder in self.servers.items() if founder.founded}

    async def aclose(self) -> None:
        for founder in self.servers.values():
            await founder.bootstrapping.aclose()


ALL = ("id-1", "id-2", "id-3")


def test_the_least_founds_when_enough_have_met() -> None:
    async def scenario() -> None:
        world = World()
        await world.meet(server(2), server(1))
        assert not world.foundings
        await world.meet(server(3))
        assert world.foundings == {1: ALL}
        await world.aclose()

    run_virtual(scenario(), limit_s=100)


def test_nobody_founds_until_all_see_the_same() -> None:
    async def scenario() -> None:
        world = World(4)
        await world.meet(server(1), server(2), server(3))
        assert world.foundings == {1: ALL}
        world = World(4)
        await world.meet(server(1), server(2), server(3), among=(1, 2))
        await world.meet(server(1), server(2), server(3), server(4), among=(3, 4))
        assert not world.foundings
        await world.meet(server(4), among=(1, 2))
        assert world.foundings == {1: (*ALL, "id-4")}
        await world.aclose()

    run_virtual(scenario(), limit_s=100)


@pytest.mark.parametrize("has", ["log", "quorum"])
def test_an_existing_quorum_is_waited_for(has: str) -> None:
    async def scenario() -> None:
        world = World()
        if has == "log":
            world.servers[2].last_log_index = 7
        world.servers[2].configuration = Configuration((Server("id-2", "127.0.0.2:8300"),), 1)
        await world.meet(server(1), server(2), server(3))
        asked = len(world.asked)
        await world.meet(server(4))
        assert world.foundings == {2: ("id-2",)}
        assert len(world.asked) == asked, "it is over: nobody is asked again"
        await world.aclose()

    run_virtual(scenario(), limit_s=100)


def test_a_server_with_a_log_founds_nothing() -> None:
    async def scenario() -> None:
        world = World()
        world.servers[1].last_log_index = 7
        await world.meet(server(1), server(2), server(3))
        assert not world.foundings
        assert not world.asked
        await world.aclose()

    run_virtual(scenario(), limit_s=100)


@pytest.mark.parametrize("odd", [server(3, expect=5), server(3, bootstrap=True)])
def test_servers_that_disagree_found_nothing(odd: ServerTags) -> None:
    async def scenario() -> None:
        world = World()
        await world.meet(server(1), server(2), odd)
        assert not world.foundings
        await world.aclose()

    run_virtual(scenario(), limit_s=100)


def test_without_expect_nothing_happens() -> None:
    async def scenario() -> None:
        world = World(expect=0)
        await world.meet(server(1), server(2), server(3))
        assert not world.asked
        assert not world.foundings
        await world.aclose()

    run_virtual(scenario(), limit_s=100)


def test_a_server_that_does_not_answer_is_asked_again() -> None:
    async def scenario() -> None:
        world = World()
        world.unreachable.add(3)
        await world.meet(server(1), server(2), server(3))
        assert not world.foundings
        world.unreachable.clear()
        await asyncio.sleep(10)
        assert world.foundings == {1: ALL}
        await world.aclose()

    run_virtual(scenario(), limit_s=100)


def test_whoever_agreed_to_one_founder_agrees_to_no_other_for_a_while() -> None:
    async def scenario() -> None:
        world = World()
        second = world.servers[2]
        second.view = {number: server(number) for number in (1, 2, 3)}
        first = FoundingRequest(founder="id-1", servers=list(ALL))
        assert second.bootstrapping.consider(first).agrees
        assert second.bootstrapping.consider(first).agrees, "the same founder may ask again"
        second.view = {number: server(number) for number in (2, 3, 4)}
        other = FoundingRequest(founder="id-2", servers=["id-2", "id-3", "id-4"])
        assert not second.bootstrapping.consider(other).agrees
        second.see()
        await asyncio.sleep(PROMISE_MS / 1000 - 1)
        assert not world.asked, "nor does it found itself"
        await asyncio.sleep(2)
        assert second.bootstrapping.consider(other).agrees
        await world.aclose()

    run_virtual(scenario(), limit_s=100)


@pytest.mark.parametrize(
    ("founder", "servers"),
    [("id-2", ["id-1", "id-2", "id-3"]), ("id-1", ["id-1", "id-2"]), ("id-0", ["id-0", "id-2", "id-3"]), ("", None)],
)
def test_only_the_least_of_those_that_it_sees_is_agreed_to(founder: str, servers: list[str] | None) -> None:
    async def scenario() -> None:
        world = World()
        second = world.servers[2]
        second.view = {number: server(number) for number in (1, 2, 3)}
        reply = second.bootstrapping.consider(FoundingRequest(founder=founder, servers=servers))
        assert not reply.agrees
        assert reply.servers == ["id-1", "id-2", "id-3"]

    run_virtual(scenario(), limit_s=100)


@pytest.mark.parametrize("seed", range(40))
def test_more_servers_than_expected_found_one_quorum(seed: int) -> None:
    """They come and become known to each other in any order, and questions are lost."""

    async def scenario() -> None:
        rng = random.Random(seed)
        count = rng.randint(3, 7)
        world = World(count, seed=seed)
        world.latency_s, world.loss_rate = rng.choice((0.01, 0.5)), rng.choice((0.0, 0.2))
        for founder in world.servers.values():
            founder.bootstrap_delay_s = rng.choice((0.0, 0.2))
        meetings = [(number, other) for number in world.servers for other in world.servers]
        rng.shuffle(meetings)
        for number, other in meetings:
            world.servers[number].see(server(other))
            await asyncio.sleep(rng.random() * rng.choice((0.01, 0.3)))
        await asyncio.sleep(200)
        assert len(world.foundings) == 1, world.foundings
        (founded,) = world.foundings.values()
        assert len(founded) >= 3
        await world.aclose()

    run_virtual(scenario(), limit_s=1000)
