"""Listening to the log: levels, the bound of who does not read, and the end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest

from consul_kernel.agent.logs import set_log_level
from consul_kernel.agent.monitor import MAX_LISTENERS, MAX_WAITING_LINES, Monitors
from consul_kernel.contracts.errors import AgentError, RequestError

logger = logging.getLogger("consul_kernel.agent.test_monitor")


@pytest.fixture(autouse=True)
def log() -> Iterator[logging.Handler]:
    """The log of an agent at level info, in place of pytest's."""
    root = logging.getLogger()
    level, handlers = root.level, [(handler, handler.level) for handler in root.handlers]
    root.handlers.clear()
    own = Kept()
    root.addHandler(own)
    set_log_level("info")
    yield own
    root.handlers.clear()
    for handler, its_level in handlers:
        handler.setLevel(its_level)
        root.addHandler(handler)
    root.setLevel(level)


class Kept(logging.Handler):
    """What the agent's own log has."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


async def test_a_listener_hears_its_level_and_the_log_keeps_to_its_own(log: Kept) -> None:
    monitors = Monitors()
    low, high = monitors.listen("debug", as_json=False), monitors.listen("WARN", as_json=True)
    logger.debug("one")
    logger.info("two")
    logger.warning("three")
    lines = (await anext(low)).decode().splitlines()
    assert [line.partition("agent.test_monitor: ")[2] for line in lines] == ["one", "two", "three"]
    assert "[DEBUG]" in lines[0]
    (warning,) = (json.loads(line) for line in (await anext(high)).splitlines())
    assert (warning["@level"], warning["@message"]) == ("warn", "three")
    assert log.messages == ["two", "three"]
    await monitors.aclose()


async def test_without_listeners_nothing_more_is_made_than_before() -> None:
    monitors = Monitors()
    monitor = monitors.listen("debug", as_json=False)
    assert logger.isEnabledFor(logging.DEBUG)
    await monitor.aclose()
    await monitor.aclose()
    assert not logger.isEnabledFor(logging.DEBUG)
    assert not monitors.listening


async def test_the_logs_level_may_change_meanwhile(log: Kept) -> None:
    monitors = Monitors()
    monitor = monitors.listen("debug", as_json=False)
    set_log_level("error")
    logger.debug("one")
    assert b"one" in await anext(monitor)
    assert log.messages == []
    await monitor.aclose()
    assert not logger.isEnabledFor(logging.WARNING)
    set_log_level("info")
    logger.info("two")
    assert log.messages == ["two"]


async def test_who_does_not_read_loses_lines_and_hears_how_many(log: Kept) -> None:
    monitors = Monitors()
    monitor = monitors.listen("info", as_json=False)
    for number in range(MAX_WAITING_LINES + 7):
        logger.info("line %d", number)
    lines = (await anext(monitor)).decode().splitlines()
    assert len(lines) == MAX_WAITING_LINES + 1
    assert "7 lines are missing here" in lines[-1]
    logger.info("after")
    assert (await anext(monitor)).decode().splitlines()[0].endswith("after")
    await monitor.aclose()
    assert "Dropped logs during monitor request: dropped_count=7" in log.messages


async def test_a_line_from_another_thread_wakes_the_reader() -> None:
    monitor = Monitors().listen("info", as_json=False)
    reading = asyncio.ensure_future(anext(monitor))
    await asyncio.sleep(0)
    await asyncio.to_thread(logger.info, "from a thread")
    async with asyncio.timeout(5):
        assert b"from a thread" in await reading
    await monitor.aclose()


async def test_a_reader_that_waits_ends_with_the_agent() -> None:
    monitors = Monitors()
    monitor = monitors.listen("info", as_json=False)

    async def read() -> list[bytes]:
        return [lines async for lines in monitor]

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await monitors.aclose()
    async with asyncio.timeout(5):
        assert await reading == []


async def test_levels_and_the_number_of_listeners_are_bounded() -> None:
    monitors = Monitors()
    with pytest.raises(RequestError, match="Unknown log level: odd"):
        monitors.listen("odd", as_json=False)
    for _ in range(MAX_LISTENERS):
        monitors.listen("info", as_json=False)
    with pytest.raises(AgentError, match="listen to the log already"):
        monitors.listen("info", as_json=False)
    await monitors.aclose()
    monitors.listen("info", as_json=False)
    await monitors.aclose()
