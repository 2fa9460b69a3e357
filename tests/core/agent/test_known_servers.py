"""The directory of servers follows the pool, also through renames and new ids."""

from __future__ import annotations

import random
from typing import cast

import pytest

from consul_kernel.agent.known_servers import KnownServers
from consul_kernel.agent.tags import lan_tags
from consul_kernel.contracts.membership import Member, MemberEvent, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.rpc.client import ConnectionPool
from consul_kernel.rpc.directory import ServerDirectory


def server(name: str, *, node_id: str = "id-1", host: str = "127.0.0.1", dc: str = "dc1") -> Member:
    tags = lan_tags(datacenter=dc, node_id=node_id, server_port=8300)
    return Member(name=name, address=Address(host, 8301), tags=tags, status=MemberStatus.ALIVE)


class World:
    """A pool of which events tell."""

    def __init__(self) -> None:
        self.directory = ServerDirectory(random.Random(1))
        self.servers = KnownServers(
            datacenter="dc1",
            members=lambda: (),
            directory=self.directory,
            pool=cast("ConnectionPool", None),
        )

    def tell(self, kind: MemberEventKind, member: Member) -> None:
        self.servers.observe(MemberEvent(kind, member))

    @property
    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.directory.servers("dc1"))


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


def test_a_server_that_lost_its_id_is_known_once(world: World) -> None:
    world.tell(MemberEventKind.JOIN, server("a", node_id="id-1"))
    world.tell(MemberEventKind.UPDATE, server("a", node_id="id-2"))
    assert [entry.id for entry in world.directory.servers("dc1")] == ["id-2"]
