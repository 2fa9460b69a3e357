"""The loop: it looks, gives votes, removes the dead, and lives through whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from consul_kernel.agent.tags import lan_tags
from consul_kernel.contracts.consensus import Configuration, Consensus, ConsensusStatus, Role, Server, Suffrage
from consul_kernel.contracts.errors import ConsensusError, RpcError
from consul_kernel.contracts.membership import Member, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.server.autopilot.keeper import Autopilot
from consul_kernel.server.autopilot.looking import Lookout, show_contact
from consul_kernel.structs.autopilot import AutopilotConfig, RaftStats
from consul_kernel.testing.virtual_time import run_virtual, virtual_now_ms


def server(name: str, suffrage: Suffrage = Suffrage.VOTER) -> Server:
    return Server(f"id-{name}", f"127.0.0.1:{ord(name) * 100}", suffrage)


class World:
    """A quorum led by `a`, its pool, and what autopilot does to them."""

    def __init__(self, *names: str) -> None:
        self.servers = {f"id-{name}": server(name) for name in ("a", *names)}
        self.statuses = dict.fromkeys(("a", *names), MemberStatus.ALIVE)
        self.stats = {f"id-{name}": RaftStats(last_contact="5ms", last_term=2, last_index=10) for name in names}
        self.done: list[str] = []
        self.change_error: Exception | None = None
        self.prepared = 0
        self.pool: list[Member] | None = None
        self.config = AutopilotConfig()
        self.autopilot = Autopilot(
            consensus=cast("Consensus", self),
            lookout=Lookout(
                consensus=cast("Consensus", self),
                members=self.members,
                ask_stats=self.ask_stats,
                node_id="id-a",
                datacenter="dc1",
            ),
            config=lambda: self.config,
            prepare=self.prepare,
            force_leave=self.force_leave,
            node_id="id-a",
            now_ms=virtual_now_ms,
        )

    @property
    def configuration(self) -> Configuration:
        return Configuration(tuple(self.servers.values()), 1)

    def status(self) -> ConsensusStatus:
        return ConsensusStatus(
            role=Role.LEADER,
            term=2,
            leader=None,
            last_log_index=10,
            last_log_term=2,
            commit_index=10,
            applied_index=10,
            last_contact_ms=0,
        )

    def members(self) -> list[Member]:
        if self.pool is not None:
            return self.pool
        found = []
        for name, status in self.statuses.items():
            address = Address("127.0.0.1", 8301)
            tags = lan_tags(datacenter="dc1", node_id=f"id-{name}", server_port=ord(name) * 100)
            found.append(Member(name=name, address=address, tags=tags, status=status))
        return found

    async def ask_stats(self, server: Server) -> RaftStats:
        if server.id not in self.stats:
            raise RpcError("no answer")
        return self.stats[server.id]

    async def prepare(self) -> None:
        self.prepared += 1

    async def force_leave(self, name: str) -> None:
        self.done.append(f"force-leave {name}")
        self.statuses[name] = MemberStatus.LEFT
        del self.servers[f"id-{name}"]

    async def add_server(self, server: Server) -> None:
        if self.change_error is not None:
            raise self.change_error
        self.done.append(f"{server.suffrage.value} {server.id}")
        self.servers[server.id] = server

    async def remove_server(self, server_id: str) -> None:
        self.done.append(f"remove {server_id}")
        del self.servers[server_id]


def run(world: World, scenario: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        task = asyncio.create_task(world.autopilot.run())
        await asyncio.sleep(0.1)
        try:
            await scenario()
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert world.autopilot.judgement is None

    run_virtual(body(), limit_s=1000)


def test_a_healthy_quorum_is_left_alone() -> None:
    world = World("b", "c")

    async def scenario() -> None:
        judgement = world.autopilot.judgement
        assert judgement is not None
        assert judgement.healthy
        assert judgement.failure_tolerance == 1
        await asyncio.sleep(300)
        assert world.done == []
        assert world.prepared > 100

    run(world, scenario)


def test_a_new_server_gets_its_vote_when_it_is_stable() -> None:
    world = World("b", "c")

    async def scenario() -> None:
        await asyncio.sleep(60)
        world.servers["id-d"] = server("d", Suffrage.NONVOTER)
        world.statuses["d"] = MemberStatus.ALIVE
        await asyncio.sleep(30)
        assert world.done == [], "it does not say how far it is"
        world.stats["id-d"] = RaftStats(last_contact="0s", last_term=2, last_index=10)
        await asyncio.sleep(9)
        assert world.done == []
        await asyncio.sleep(5)
        assert world.done == ["voter id-d"]
        assert world.servers["id-d"] == server("d")

    run(world, scenario)


def test_a_failed_server_is_made_to_leave() -> None:
    world = World("b", "c")

    async def scenario() -> None:
        world.statuses["c"] = MemberStatus.FAILED
        await asyncio.sleep(30)
        assert world.done == [], "it answers: gossip has not met it again yet"
        del world.stats["id-c"]
        await asyncio.sleep(15)
        assert world.done == ["force-leave c"]
        world.statuses["b"] = MemberStatus.FAILED
        del world.stats["id-b"]
        await asyncio.sleep(60)
        assert world.done == ["force-leave c"], "of two voters none may go"

    run(world, scenario)


def test_a_server_that_gossip_does_not_know_is_removed_only_when_it_is_silent_for_long() -> None:
    world = World("b", "c", "d", "e")

    async def scenario() -> None:
        del world.statuses["d"], world.statuses["e"], world.stats["id-e"]
        await asyncio.sleep(55)
        assert world.done == []
        await asyncio.sleep(20)
        assert world.done == ["remove id-e"]
        await asyncio.sleep(300)
        assert world.done == ["remove id-e"], "the other one answers, so gossip has only not met it"

    run(world, scenario)


def test_a_server_that_is_back_under_another_name_is_alive() -> None:
    world = World("b", "c")

    async def scenario() -> None:
        world.statuses["c"] = MemberStatus.FAILED
        members = world.members()
        renamed = Member(
            name="new", address=Address("127.0.0.1", 8301), tags=members[2].tags, status=MemberStatus.ALIVE
        )
        for order in ([*members, renamed], [renamed, *members]):
            world.members = lambda order=order: order  # type: ignore[method-assign, misc]
            world.autopilot._lookout._members = world.members
            await asyncio.sleep(30)
        assert world.done == []

    run(world, scenario)


@pytest.mark.parametrize("error", [ConsensusError("leadership transfer in progress"), RpcError("x"), KeyError("fault")])
def test_what_fails_is_tried_again(error: Exception) -> None:
    world = World("b")
    world.servers["id-b"] = server("b", Suffrage.NONVOTER)
    world.change_error = error

    async def scenario() -> None:
        await asyncio.sleep(20)
        assert world.done == []
        world.change_error = None
        await asyncio.sleep(3)
        assert world.done == ["voter id-b"]

    run(world, scenario)


def test_changes_of_health_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    world = World("b")

    async def scenario() -> None:
        world.stats["id-b"] = RaftStats(last_contact="3s", last_term=2, last_index=10)
        await asyncio.sleep(10)
        world.stats["id-b"] = RaftStats(last_contact="never", last_term=2, last_index=10)
        await asyncio.sleep(10)
        world.stats["id-b"] = RaftStats(last_contact="1ms", last_term=2, last_index=10)
        await asyncio.sleep(10)

    run(world, scenario)
    told = [record.getMessage().partition(":")[2].partition(":")[0] for record in caplog.records]
    assert told == [" server b is unhealthy", " server b is healthy again"]


@pytest.mark.parametrize(("contact_ms", "shown"), [(None, "never"), (0, "0"), (17, "17ms")])
def test_contact_is_told_as_consul_tells_it(contact_ms: int | None, shown: str) -> None:
    assert show_contact(contact_ms) == shown
