"""What an operator reads of an agent's life: its start, the members that come and go, and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from consul_kernel.agent.agent import Agent
from consul_kernel.agent.daemon import banner
from consul_kernel.agent.member_log import LINES_PER_MINUTE, MemberLog
from consul_kernel.agent.retry_join import log_joined
from consul_kernel.config.load import load_config
from consul_kernel.contracts.membership import Member, MemberEvent, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.plugins import PluginManager
from harness.agents import free_ports


async def started(name: str, **overrides: Any) -> Agent:
    gossip, wan, server = free_ports(3)
    ports = {"http": -1, "dns": -1, "serf_lan": gossip, "serf_wan": wan, "server": server}
    config = load_config(overrides={"node_name": name, "bind_addr": "127.0.0.1", "ports": ports, **overrides})
    agent = Agent(config, PluginManager())
    await agent.start()
    return agent


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def member_event(kind: MemberEventKind, name: str = "web") -> MemberEvent:
    return MemberEvent(kind, Member(name=name, address=Address("10.0.0.9", 8301), tags={}, status=MemberStatus.ALIVE))


async def test_members_that_come_and_go_are_told_on_every_agent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    a, b = await started("one"), await started("two")
    try:
        joining = f"member two at {b.local_member().address} "
        await b.join([str(a.local_member().address)])
        # Each is told of itself, too, when it starts.
        await until(lambda: caplog.messages.count(joining + "joined") == 2)
        assert f"member one at {a.local_member().address} joined" in caplog.messages
        await b.leave()
        assert caplog.messages.index("left the pool") < caplog.messages.index("stopped")
        await until(lambda: joining + "left" in caplog.messages)
    finally:
        await b.stop()
        await a.stop()
    assert caplog.messages[-1] == "stopped"


async def test_parts_and_addresses_come_before_leadership(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    agent = await started("one", dev_mode=True)
    try:
        await until(lambda: "cluster leadership acquired" in caplog.messages)
    finally:
        await agent.stop()
    lines = [line.partition(":")[0].partition(" on ")[0] for line in caplog.messages]
    assert lines[0] == "starting, parts"
    assert lines.index("server port") < lines.index("cluster leadership acquired")


@pytest.mark.parametrize(
    ("kind", "level", "text"),
    [
        (MemberEventKind.JOIN, logging.INFO, "joined"),
        (MemberEventKind.UPDATE, logging.INFO, "was updated"),
        (MemberEventKind.FAILED, logging.WARNING, "failed"),
        (MemberEventKind.LEAVE, logging.INFO, "left"),
        (MemberEventKind.REAP, logging.INFO, "was forgotten"),
    ],
)
def test_each_change_of_a_member_is_one_line(
    kind: MemberEventKind, level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    MemberLog(lambda: 0).observe(member_event(kind))
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, f"member web at 10.0.0.9:8301 {text}")


def test_members_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now_ms = 0
    log = MemberLog(lambda: now_ms)
    for number in range(LINES_PER_MINUTE + 7):
        log.observe(member_event(MemberEventKind.JOIN, f"web-{number}"))
    assert len(caplog.records) == LINES_PER_MINUTE
    now_ms = 60_000
    log.observe(member_event(MemberEventKind.FAILED))
    assert caplog.messages[LINES_PER_MINUTE:] == [
        "7 more changes of members were not logged",
        "member web at 10.0.0.9:8301 failed",
    ]


@pytest.mark.parametrize(("count", "text"), [(1, "1 agent answered"), (2, "2 agents answered")])
def test_a_join_counts_in_good_english(count: int, text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_joined(count)
    assert caplog.messages == [f"join completed, {text}"]


def test_the_banner_is_spelled_as_consuls() -> None:
    text = banner(load_config(overrides={"dev_mode": True, "node_name": "one"}))
    assert "Node name: 'one'" in text
    assert "Server: true (Bootstrap: true)" in text
