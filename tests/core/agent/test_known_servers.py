"""The directory of servers follows the pools, also through renames and new ids."""

from __future__ import annotations

import asyncio
import random
from typing import cast

import pytest

from consul_kernel.agent.known_servers import DOUBTS_INTERVAL_S, KnownServers
from consul_kernel.agent.tags import lan_tags
from consul_kernel.contracts.membership import Member, MemberEvent, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.rpc.client import ConnectionPool
from consul_kernel.rpc.directory import ServerDirectory
from consul_kernel.rpc.errors import RpcUnreachableError
from consul_kernel.testing.virtual_time import run_virtual


def server(name: str, *, node_id: str = "id-1", host: str = "127.0.0.1", dc: str = "dc1") -> Member:
    tags = lan_tags(datacenter=dc, node_id=node_id, server_port=8300)
    return Member(name=name, address=Address(host, 8301), tags=tags, status=MemberStatus.ALIVE)


class FakePool:
    """Notes which servers it was told to check."""

    def __init__(self) -> None:
        self.checked: list[Address] = []

    def check(self, address: Address) -> None:
        self.checked.append(address)


class World:
    """A pool of which events tell."""

    def __init__(self) -> None:
        self.pool = FakePool()
        self.directory = ServerDirectory(random.Random(1))
        self.servers = KnownServers(
            datacenter="dc1",
            members=lambda: (),
            directory=self.directory,
            pool=cast("ConnectionPool", self.pool),
        )

    def tell(self, kind: MemberEventKind, member: Member) -> None:
        self.servers.observe(MemberEvent(kind, member))

    def tell_wan(self, kind: MemberEventKind, member: Member) -> None:
        self.servers.observe_wan(MemberEvent(kind, member))

    @property
    def names(self) -> list[str]:
        return self.names_in("dc1")

    def names_in(self, datacenter: str) -> list[str]:
        return sorted(entry.name for entry in self.directory.servers(datacenter))


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("gone", [MemberEventKind.FAILED, MemberEventKind.LEAVE, MemberEventKind.REAP])
def test_servers_come_and_go(world: World, gone: MemberEventKind) -> None:
    world.tell(MemberEventKind.JOIN, server("a"))
    world.tell(MemberEventKind.JOIN, server("elsewhere", node_id="id-9", dc="dc2"))
    assert world.names == ["a"]
    world.tell(gone, server("a"))
    assert world.names == []


@pytest.mark.parametrize("gone", [MemberEventKind.FAILED, MemberEventKind.REAP])
def test_the_old_name_of_a_renamed_server_does_not_take_the_new_one_along(world: World, gone: MemberEventKind) -> None:
    world.tell(MemberEventKind.JOIN, server("old"))
    world.tell(MemberEventKind.JOIN, server("new"))
    world.tell(gone, server("old"))
    assert world.names == ["new"]


@pytest.mark.parametrize("kind", [MemberEventKind.JOIN, MemberEventKind.UPDATE])
def test_a_server_that_comes_back_as_a_client_is_asked_no_more(world: World, kind: MemberEventKind) -> None:
    world.tell(MemberEventKind.JOIN, server("a"))
    tags = lan_tags(datacenter="dc1", node_id="id-1", server_port=None)
    client = Member(name="a", address=Address("127.0.0.1", 8301), tags=tags, status=MemberStatus.ALIVE)
    world.tell(kind, client)
    assert world.names == []


def test_a_server_that_lost_its_id_is_known_once(world: World) -> None:
    world.tell(MemberEventKind.JOIN, server("a", node_id="id-1"))
    world.tell(MemberEventKind.UPDATE, server("a", node_id="id-2"))
    assert [entry.id for entry in world.directory.servers("dc1")] == ["id-2"]


@pytest.mark.parametrize(
    ("gone", "known"), [(MemberEventKind.FAILED, True), (MemberEventKind.LEAVE, False), (MemberEventKind.REAP, False)]
)
def test_servers_of_other_datacenters_are_known_from_the_wan(world: World, gone: MemberEventKind, known: bool) -> None:
    world.tell_wan(MemberEventKind.JOIN, server("t1.dc2", node_id="id-9", dc="dc2"))
    world.tell_wan(MemberEventKind.JOIN, server("a.dc1"))
    assert (world.names, world.names_in("dc2")) == ([], ["t1"])
    world.tell_wan(gone, server("t1.dc2", node_id="id-9", dc="dc2"))
    assert world.names_in("dc2") == []
    assert world.directory.knows_datacenter("dc2") is known


def test_who_waits_for_a_server_that_failed_does_not_wait_in_vain(world: World) -> None:
    world.tell(MemberEventKind.FAILED, server("a"))
    assert world.pool.checked == []
    world.tell(MemberEventKind.JOIN, server("a"))
    world.tell(MemberEventKind.FAILED, server("a"))
    assert world.pool.checked == [Address("127.0.0.1", 8300)]


class Silent:
    """A pool whose servers answer when the test says so."""

    def __init__(self) -> None:
        self.answers = False
        self.pinged = 0

    async def call(self, *_: object, timeout_ms: int) -> None:
        self.pinged += 1
        if not self.answers:
            raise RpcUnreachableError("connection refused")


def test_doubts_are_settled_once_a_server_answers() -> None:
    async def program() -> None:
        world = World()
        silent = Silent()
        world.servers._pool = cast("ConnectionPool", silent)
        world.tell_wan(MemberEventKind.JOIN, server("t1.dc2", dc="dc2"))
        (entry,) = world.directory.servers("dc2")
        world.directory.doubt(entry)
        settling = asyncio.create_task(world.servers.settle_doubts())
        await asyncio.sleep(DOUBTS_INTERVAL_S * 2.5)
        assert (silent.pinged, world.directory.doubtful()) == (2, (entry,))
        silent.answers = True
        await asyncio.sleep(DOUBTS_INTERVAL_S * 5)
        assert (silent.pinged, world.directory.doubtful()) == (3, ())
        settling.cancel()

    run_virtual(program())
