"""An agent that was told to leave is gone soon after, whatever its parts make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from consul_kernel.agent import leaving
from consul_kernel.agent.agent import Agent
from consul_kernel.config.load import load_config
from consul_kernel.contracts.errors import MembershipError
from consul_kernel.plugins import PluginManager
from harness.agents import free_ports


async def started() -> Agent:
    """A client agent without interfaces."""
    (port,) = free_ports(1)
    overrides: dict[str, Any] = {
        "bind_addr": "127.0.0.1",
        "ports": {"http": -1, "dns": -1, "serf_lan": port},
    }
    agent = Agent(load_config(overrides=overrides), PluginManager())
    await agent.start()
    return agent


async def _refuse() -> None:
    raise MembershipError("nobody heard it")


async def _break() -> None:
    raise KeyError("a fault of ours")


async def _hang() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("leave", [_refuse, _break, _hang])
async def test_it_stops_whatever_leaving_comes_to(
    leave: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leaving, "LEAVE_STEP_TIMEOUT_S", 0.05)
    agent = await started()
    monkeypatch.setattr(agent._parts.membership, "leave", leave)
    async with asyncio.timeout(5):
        await agent.leave()
    assert agent.stopped.is_set()
    assert "could not leave" in caplog.text


async def test_who_is_told_twice_leaves_once(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = await started()
    told: list[None] = []
    leave = agent._parts.membership.leave

    async def count() -> None:
        told.append(None)
        await leave()

    monkeypatch.setattr(agent._parts.membership, "leave", count)
    async with asyncio.timeout(5):
        await asyncio.gather(agent.leave(), agent.leave())
    assert len(told) == 1
    assert agent.stopped.is_set()


async def test_the_catalog_is_told_nothing_more_once_the_pool_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that still registered itself while the news of its leaving spreads would stay in the catalog."""
    agent = await started()
    running: list[bool] = []
    leave = agent._parts.membership.leave

    async def look() -> None:
        running.append(any(task.get_name() == "anti-entropy" for task in asyncio.all_tasks()))
        await leave()

    monkeypatch.setattr(agent._parts.membership, "leave", look)
    assert any(task.get_name() == "anti-entropy" for task in asyncio.all_tasks())
    async with asyncio.timeout(5):
        await agent.leave()
    assert running == [False]
