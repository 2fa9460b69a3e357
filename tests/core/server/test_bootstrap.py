"""When a quorum is founded, and when it must not be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from consul_kernel.agent.tags import ServerTags
from consul_kernel.contracts.consensus import Configuration, Consensus, Server
from consul_kernel.server.bootstrap import Bootstrap


class FakeConsensus:
    """A consensus that may or may not have a past."""

    def __init__(self, *, last_log_index: int = 0) -> None:
        self.configuration = Configuration()
        self.founded = asyncio.Event()
        self._last_log_index = last_log_index

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(last_log_index=self._last_log_index)

    async def bootstrap(self, servers: Sequence[Server]) -> None:
        self.configuration = Configuration(tuple(servers), 1)
        self.founded.set()


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


class World:
    """A pool of servers as one of them sees it."""

    def __init__(self, consensus: FakeConsensus, *, expect: int = 3) -> None:
        self.consensus = consensus
        self.pool: list[ServerTags] = []
        self.peers: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.bootstrap = Bootstrap(
            consensus=cast("Consensus", consensus),
            node_id="id-1",
            expect=expect,
            servers=lambda: self.pool,
            ask_peers=self._ask,
        )

    async def _ask(self, server: ServerTags) -> Sequence[str]:
        self.asked.append(server.name)
        return self.peers.get(server.name, [])

    async def meet(self, *servers: ServerTags) -> None:
        """Servers come into the pool; wait until this one has made up its mind."""
        self.pool.extend(servers)
        self.bootstrap.servers_changed()
        task = self.bootstrap._task
        if task is not None:
            await task

    @property
    def founders(self) -> list[str]:
        return [founder.id for founder in self.consensus.configuration.servers]


async def test_the_quorum_is_founded_when_enough_have_met() -> None:
    world = World(FakeConsensus())
    await world.meet(server(2), server(1))
    assert not world.founders
    await world.meet(server(3))
    assert world.founders == ["id-1", "id-2", "id-3"], "in the order of their ids, whoever came first"


async def test_an_existing_quorum_is_waited_for() -> None:
    world = World(FakeConsensus())
    world.peers["s2"] = ["127.0.0.2:8300"]
    await world.meet(server(1), server(2), server(3))
    assert not world.founders
    await world.meet(server(4))
    assert world.asked == ["s2"], "it is over: nobody is asked again"


async def test_a_server_with_a_log_founds_nothing() -> None:
    world = World(FakeConsensus(last_log_index=7))
    await world.meet(server(1), server(2), server(3))
    assert not world.founders
    assert not world.asked


async def test_servers_that_disagree_found_nothing() -> None:
    for odd in (server(3, expect=5), server(3, bootstrap=True)):
        world = World(FakeConsensus())
        await world.meet(server(1), server(2), odd)
        assert not world.founders


async def test_without_expect_nothing_happens() -> None:
    world = World(FakeConsensus(), expect=0)
    await world.meet(server(1), server(2), server(3))
    assert not world.asked
    assert not world.founders
