"""Servers of two datacenters in one WAN pool: who gets in, who is brought in, who is refused, and what the logs say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from consul_kernel.agent.agent import Agent
from consul_kernel.agent.flooding import Flooding
from consul_kernel.config.load import load_config
from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership import GossipEvent, MemberEvent, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.hookspecs import hookimpl
from consul_kernel.plugins import PluginManager
from harness.agents import free_ports

GOSSIP = {"gossip_interval": "20ms", "probe_interval": "100ms", "probe_timeout": "50ms", "suspicion_mult": 2}


class Federation:
    """Agents of any datacenter in this process, without interfaces; stopped with the test."""

    def __init__(self) -> None:
        self.agents: list[Agent] = []

    async def start(self, name: str, datacenter: str = "dc1", *, server: bool = True, **more: Any) -> Agent:
        lan, wan, rpc = free_ports(3)
        ports = {"http": -1, "dns": -1, "serf_lan": lan, "serf_wan": wan, "server": rpc, **more.pop("ports", {})}
        overrides = {
            "node_name": name,
            "datacenter": datacenter,
            "bind_addr": "127.0.0.1",
            "ports": ports,
            "server": server,
            "gossip_lan": GOSSIP,
            "gossip_wan": GOSSIP,
            "performance": {"leave_drain_time": "1ms"},
            "membership": {"swim": {"leave_propagate_delay_ms": 10}},
            **({"store": {"memory": {}}} if server else {}),
            **more,
        }
        agent = Agent(load_config(overrides=overrides), PluginManager())
        await agent.start()
        self.agents.append(agent)
        return agent

    async def stop(self) -> None:
        await asyncio.gather(*(agent.stop() for agent in self.agents))


@pytest.fixture
async def federation() -> AsyncIterator[Federation]:
    made = Federation()
    yield made
    await made.stop()


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what}: not within 20 s") from None


def lan_of(agent: Agent) -> str:
    return str(agent.local_member().address)


def wan_of(agent: Agent) -> str:
    assert agent._pools.wan is not None
    return str(agent._pools.wan.local_member.address)


def statuses(agent: Agent, *, wan: bool) -> dict[str, MemberStatus]:
    return {member.name: member.status for member in agent.members(wan=wan)}


def alive(agent: Agent) -> set[str]:
    return {name for name, status in statuses(agent, wan=True).items() if status is MemberStatus.ALIVE}


async def test_one_join_brings_all_servers_of_both_datacenters_together(federation: Federation) -> None:
    s1, s2 = await federation.start("s1"), await federation.start("s2")
    client = await federation.start("c1", server=False)
    await s2.join([lan_of(s1)])
    await client.join([lan_of(s1)])
    await until(lambda: alive(s1) == alive(s2) == {"s1.dc1", "s2.dc1"}, "s2 is flooded into the WAN pool")
    t1 = await federation.start("t1", "dc2", start_join_wan=[wan_of(s2)])
    everybody = {"s1.dc1", "s2.dc1", "t1.dc2"}
    await until(lambda: all(alive(agent) == everybody for agent in (s1, s2, t1)), "everybody is in the WAN pool")
    t2 = await federation.start("t2", "dc2", start_join=[lan_of(t1)])
    everybody.add("t2.dc2")
    await until(lambda: all(alive(agent) == everybody for agent in (s1, s2, t1, t2)), "t2 came in by the LAN alone")
    assert set(statuses(s1, wan=False)) == {"s1", "s2", "c1"}
    tags = {member.name: member.tags for member in s1.members(wan=True)}
    assert (tags["t1.dc2"]["dc"], tags["t1.dc2"].get("wan_join_port")) == ("dc2", None)
    stats = s1.describe()["Stats"]
    assert (stats["serf_wan"]["members"], stats["serf_lan"]["members"]) == ("4", "3")


async def test_a_server_that_crashed_finds_the_wan_pool_by_what_it_remembers(
    federation: Federation, tmp_path: Path
) -> None:
    ports = dict(zip(("serf_lan", "serf_wan", "server"), free_ports(3), strict=True))
    s1 = await federation.start("s1", data_dir=str(tmp_path), ports=ports)
    t1 = await federation.start("t1", "dc2", start_join_wan=[wan_of(s1)])
    await until(lambda: alive(s1) == {"s1.dc1", "t1.dc2"}, "both know each other")
    await s1.stop()
    assert (tmp_path / "serf" / "remote.snapshot").exists()
    again = await federation.start("s1", data_dir=str(tmp_path), ports=ports)
    await until(lambda: alive(again) == alive(t1) == {"s1.dc1", "t1.dc2"}, "both know each other again")


async def test_who_is_in_no_wan_pool_says_why(federation: Federation) -> None:
    client = await federation.start("c1", server=False, retry_join_wan=["127.0.0.1"])
    disabled = await federation.start("s1", ports={"serf_wan": -1})
    for agent, text in ((client, "Must be a server to join WAN cluster"), (disabled, "disabled")):
        with pytest.raises(MembershipError, match=text):
            await agent.join(["127.0.0.1"], wan=True)
        with pytest.raises(MembershipError, match=text):
            agent.members(wan=True)
        assert "serf_wan" not in agent.describe()["Stats"]
        assert "wan_join_port" not in agent.local_member().tags
    assert any("this agent is a client" in warning.message for warning in client._config.warnings)


async def test_another_datacenter_is_refused_in_the_lan_and_both_logs_say_why(
    federation: Federation, caplog: pytest.LogCaptureFixture
) -> None:
    s1, t1 = await federation.start("s1"), await federation.start("t1", "dc2")
    with pytest.raises(MembershipError, match="Member 's1' part of wrong datacenter 'dc1'"):
        await t1.join([lan_of(s1)])
    for text in ("Member 's1' part of wrong datacenter 'dc1'", "Member 't1' part of wrong datacenter 'dc2'"):
        await until(lambda text=text: f"member refused: {text}" in caplog.text, text)  # type: ignore[misc]
    assert len(s1.members()) == len(t1.members()) == 1


async def test_a_client_is_refused_in_the_wan_and_both_logs_say_why(
    federation: Federation, caplog: pytest.LogCaptureFixture
) -> None:
    s1, client = await federation.start("s1"), await federation.start("c1", server=False)
    with pytest.raises(MembershipError, match=r"Member 's1\.dc1' is of the WAN pool, which takes no LAN agents"):
        await client.join([wan_of(s1)])
    await until(lambda: "pool wan: member refused: Member 'c1' is not a server" in caplog.text, "refused")
    assert set(statuses(client, wan=False)) == {"c1"}
    assert set(statuses(s1, wan=True)) == {"s1.dc1"}


async def test_a_taken_node_id_is_refused(federation: Federation, caplog: pytest.LogCaptureFixture) -> None:
    node_id = "11111111-2222-3333-4444-555555555555"
    first = await federation.start("a", server=False, node_id=node_id)
    second = await federation.start("b", server=False, node_id=node_id)
    with pytest.raises(MembershipError, match=f"Member 'a' has conflicting node ID '{node_id}' with this agent's ID"):
        await second.join([lan_of(first)])
    await until(lambda: f"Member 'b' has conflicting node ID '{node_id}' with this agent's ID" in caplog.text, "told")


async def test_a_pool_in_which_two_share_an_id_is_not_joined(
    federation: Federation, caplog: pytest.LogCaptureFixture
) -> None:
    """Two that join a third one after the other are let in, as in Consul; whoever comes then is told."""
    node_id = "11111111-2222-3333-4444-555555555555"
    server = await federation.start("s1")
    for name in ("a", "b"):
        twin = await federation.start(name, server=False, node_id=node_id)
        await server.join([lan_of(twin)])
        await until(lambda name=name: name in statuses(server, wan=False), f"{name} is in")  # type: ignore[misc]
    late = await federation.start("late", server=False)
    with pytest.raises(MembershipError, match=f"has conflicting node ID '{node_id}' with member '"):
        await late.join([lan_of(server)])
    assert set(statuses(late, wan=False)) == {"late"}


async def test_force_leave_is_for_both_pools(federation: Federation) -> None:
    s1, s2 = await federation.start("s1"), await federation.start("s2")
    t1 = await federation.start("t1", "dc2", start_join_wan=[wan_of(s1)])
    await s2.join([lan_of(s1)])
    await until(lambda: alive(t1) == {"s1.dc1", "s2.dc1", "t1.dc2"}, "all three in the WAN pool")
    await s2.stop()
    await t1.stop()
    await until(
        lambda: (
            set(statuses(s1, wan=True).values()) == {MemberStatus.ALIVE, MemberStatus.FAILED}
            and statuses(s1, wan=True)["t1.dc2"] is statuses(s1, wan=False)["s2"] is MemberStatus.FAILED
        ),
        "both are failed",
    )
    await s1.force_leave("s2")
    await until(lambda: statuses(s1, wan=False)["s2"] is MemberStatus.LEFT, "left the LAN")
    await until(lambda: statuses(s1, wan=True)["s2.dc1"] is MemberStatus.LEFT, "left the WAN")
    await s1.force_leave("t1.dc2", prune=True)
    await until(lambda: "t1.dc2" not in statuses(s1, wan=True), "forgotten")
    with pytest.raises(MembershipError, match=r"agent: No node found with name 't1\.dc2'"):
        await s1.force_leave("t1.dc2")


async def test_a_server_leaves_both_pools_at_once(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    s1, t1 = await federation.start("s1"), await federation.start("t1", "dc2")
    client = await federation.start("c1", server=False)
    await t1.join([wan_of(s1)], wan=True)
    await client.join([lan_of(s1)])
    await until(lambda: "s1.dc1" in alive(t1), "s1 is known in dc2")
    both = asyncio.Barrier(2)

    def together(leave: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def wait_and_leave() -> None:
            async with asyncio.timeout(5):
                await both.wait()  # for ever, where one comes after the other
            await leave()

        return wait_and_leave

    for pool in (s1._pools.lan, s1._pools.wan):
        assert pool is not None
        monkeypatch.setattr(pool, "leave", together(pool.leave))
    await s1.leave()
    await until(lambda: statuses(t1, wan=True)["s1.dc1"] is MemberStatus.LEFT, "left, not failed")
    await until(lambda: statuses(client, wan=False)["s1"] is MemberStatus.LEFT, "left, not failed")


class Listener:
    """A plugin that listens to gossip."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    @hookimpl
    def consul_kernel_gossip_event(self, pool: str, event: GossipEvent) -> None:
        if isinstance(event, MemberEvent) and event.kind is MemberEventKind.JOIN:
            self.heard.append((pool, event.member.name))


async def test_listeners_and_the_log_are_told_of_which_pool(
    federation: Federation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    s1, t1 = await federation.start("s1"), await federation.start("t1", "dc2")
    listener = Listener()
    s1._plugins._pluggy.register(listener)
    await t1.join([wan_of(s1)], wan=True)
    await until(lambda: listener.heard == [("wan", "t1.dc2")], "the notice")
    assert f"WAN member t1.dc2 at {wan_of(t1)} joined" in caplog.messages


async def test_a_server_that_cannot_be_flooded_is_told_once(
    federation: Federation, caplog: pytest.LogCaptureFixture
) -> None:
    s1, t1 = await federation.start("s1"), await federation.start("t1", "dc2")
    assert s1._pools.wan is not None
    (nobody,) = free_ports(1)
    elsewhere = t1.local_member()
    tags = {**elsewhere.tags, "wan_join_port": str(nobody)}
    lost = type(elsewhere)(name="lost", address=elsewhere.address, tags=tags, status=MemberStatus.ALIVE)
    flooding = Flooding(
        datacenter="dc1", lan_members=lambda: [s1.local_member(), lost], wan=s1._pools.wan, default_port=8302
    )
    for _ in range(3):
        await flooding.flood()
    told = [text for text in caplog.messages if "could not be brought into the WAN pool" in text]
    assert len(told) == 1
    assert told[0].startswith("server lost.dc1 ")
    assert str(Address("127.0.0.1", nobody)) in told[0]
