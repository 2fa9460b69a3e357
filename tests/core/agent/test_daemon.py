"""Signals end the process, at whatever moment of its life they come."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from consul_kernel.agent import daemon
from consul_kernel.config.load import load_config
from consul_kernel.contracts.errors import AgentError, PluginStartError
from consul_kernel.structs.metrics import GaugeValue, MetricsSummary, SampledValue


class FakeAgent:
    """An agent whose start waits until it is told to go on."""

    made: FakeAgent

    def __init__(self, *_: Any, **__: Any) -> None:
        FakeAgent.made = self
        self.starting = asyncio.Event()
        self.may_start = asyncio.Event()
        self.stopped = asyncio.Event()
        self.ended_by: list[str] = []
        self.failure: BaseException | None = None
        self.start_error: Exception | None = None
        self.reloads = 0
        self.reloading = asyncio.Event()
        self.may_reload = asyncio.Event()

    async def start(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.starting.set()
        try:
            await self.may_start.wait()
            if self.start_error is not None:
                raise self.start_error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        self.ended_by.append("stop")
        self.stopped.set()

    async def leave(self) -> None:
        self.ended_by.append("leave")
        self.stopped.set()

    def metrics(self) -> MetricsSummary:
        return MetricsSummary(
            "2026-01-02 03:04:10 +0000 UTC",
            [GaugeValue("consul.a", 2.5, {"datacenter": "dc1"})],
            [],
            [SampledValue("consul.b", 4, 0.4, 4.0, 1.0, 1.0, 1.0, 0.0, {})],
            [SampledValue("consul.c", 2, 0.4, 4.0, 1.0, 3.0, 2.0, 1.4142, {})],
        )

    async def reload(self) -> None:
        self.reloads += 1
        self.reloading.set()
        await self.may_reload.wait()
        raise AgentError("a broken file")


@pytest.fixture
async def serving(monkeypatch: pytest.MonkeyPatch) -> asyncio.Task[int]:
    """A process that has come as far as starting its agent."""
    monkeypatch.setattr(daemon, "Agent", FakeAgent)
    config = load_config(overrides={"dev_mode": True, "leave_on_terminate": True, "skip_leave_on_interrupt": True})
    task = asyncio.create_task(daemon._serve(config))
    async with asyncio.timeout(5):
        while not hasattr(FakeAgent, "made"):
            await asyncio.sleep(0)
        await FakeAgent.made.starting.wait()
    return task


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FakeAgent, "made", raising=False)


async def ended(serving: asyncio.Task[int]) -> int:
    async with asyncio.timeout(5):
        return await serving


@pytest.mark.parametrize(("number", "how"), [(signal.SIGTERM, "leave"), (signal.SIGINT, "stop")])
async def test_a_signal_ends_a_running_agent(serving: asyncio.Task[int], number: signal.Signals, how: str) -> None:
    FakeAgent.made.may_start.set()
    await asyncio.wait([FakeAgent.made.task])
    os.kill(os.getpid(), number)
    assert await ended(serving) == 0
    assert FakeAgent.made.ended_by == [how]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_an_agent_that_is_starting(serving: asyncio.Task[int], number: signal.Signals) -> None:
    """Its parts may not be there yet, so it does not leave: it gives up the start, and stops what has started."""
    os.kill(os.getpid(), number)
    assert await ended(serving) == 0
    assert FakeAgent.made.ended_by == ["stop"]


async def test_a_start_that_fails_ends_the_process(serving: asyncio.Task[int]) -> None:
    FakeAgent.made.start_error = PluginStartError("no port")
    FakeAgent.made.may_start.set()
    with pytest.raises(PluginStartError, match="no port"):
        await ended(serving)


async def test_metrics_are_printed_on_demand(serving: asyncio.Task[int], capsys: pytest.CaptureFixture[str]) -> None:
    FakeAgent.made.may_start.set()
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await ended(serving) == 0
    assert capsys.readouterr().err.splitlines() == [
        "[2026-01-02 03:04:10 +0000 UTC][G] 'consul.a.dc1': 2.500",
        "[2026-01-02 03:04:10 +0000 UTC][C] 'consul.b': Count: 4 Sum: 4.000",
        (
            "[2026-01-02 03:04:10 +0000 UTC][S] 'consul.c': Count: 2 Min: 1.000 Mean: 2.000 Max: 3.000 Stddev: 1.414 "
            "Sum: 4.000"
        ),
    ]


async def test_an_agent_that_fails_gives_an_exit_code(serving: asyncio.Task[int]) -> None:
    FakeAgent.made.failure = RuntimeError("the log refuses writes")
    FakeAgent.made.may_start.set()
    await FakeAgent.made.stop()
    assert await ended(serving) == 1


async def test_a_hangup_reloads_the_running_agent_and_once_more_for_all_that_came_meanwhile(
    serving: asyncio.Task[int],
) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    agent = FakeAgent.made
    agent.may_start.set()
    async with asyncio.timeout(5):
        await agent.reloading.wait()
        agent.reloading.clear()
        for _ in range(50):
            os.kill(os.getpid(), signal.SIGHUP)
        agent.may_reload.set()
        await agent.reloading.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await ended(serving) == 0
    assert agent.reloads in (2, 3)  # 3: some were delivered while the second was under way
