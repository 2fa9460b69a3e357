"""The kit finds what it is there to find: kinds of check that each break one clause."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from consul_kernel.contracts.check import CheckContext, CheckPlugin, Outcome
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.structs.check import CheckStatus
from consul_kernel.testing.check_kit import CHECKS, CheckCase, Keys
from consul_kernel.testing.clauses import ClauseError

_alive: set[str] = set()


class FlagConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a kind that looks whether a flag is up."""

    flag: str = ""


class GreedyConfig(FlagConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Has a key of the kernel's."""

    interval: int = 1


class FlagCheck:
    """Keeps the contract."""

    def __init__(self, context: CheckContext, config: FlagConfig) -> None:
        self.flag = config.flag

    async def probe(self) -> Outcome:
        if self.flag == "silent":
            await asyncio.sleep(60)
        await asyncio.sleep(0)
        return Outcome(CheckStatus.PASSING if self.flag in _alive else CheckStatus.CRITICAL, f"flag {self.flag}")


class NeedsALoop(FlagCheck):
    def __init__(self, context: CheckContext, config: FlagConfig) -> None:
        super().__init__(context, config)
        self.future = asyncio.get_running_loop().create_future()


class SaysNothing(FlagCheck):
    async def probe(self) -> Any:
        return None


class Raises(FlagCheck):
    async def probe(self) -> Outcome:
        outcome = await super().probe()
        if outcome.status is not CheckStatus.PASSING:
            raise KeyError(self.flag)
        return outcome


class Remembers(FlagCheck):
    kept: Outcome | None = None

    async def probe(self) -> Outcome:
        self.kept = self.kept or await super().probe()
        return self.kept


class LeavesATask(FlagCheck):
    async def probe(self) -> Outcome:
        self.task = asyncio.create_task(asyncio.sleep(60))
        return await super().probe()


class Blocks(FlagCheck):
    async def probe(self) -> Outcome:
        if self.flag == "silent":
            time.sleep(0.2)  # noqa: ASYNC251 - what must be caught
        return await super().probe()


class Deaf(FlagCheck):
    async def probe(self) -> Outcome:
        try:
            return await super().probe()
        except asyncio.CancelledError:
            return Outcome(CheckStatus.CRITICAL, "cancelled")


class Shares(FlagCheck):
    last: str = ""

    async def probe(self) -> Outcome:
        Shares.last = self.flag
        await asyncio.sleep(0)
        self.flag = Shares.last
        return await super().probe()


class Talks(FlagCheck):
    async def probe(self) -> Outcome:
        return Outcome((await super().probe()).status, "x" * 2000)


def case(create: Callable[..., Any], config_type: type[FlagConfig] = FlagConfig) -> CheckCase:
    @contextlib.asynccontextmanager
    async def healthy() -> AsyncIterator[Keys]:
        _alive.add("up")
        try:
            yield {"flag": "up"}
        finally:
            _alive.discard("up")

    @contextlib.asynccontextmanager
    async def flag(name: str) -> AsyncIterator[Keys]:
        yield {"flag": name}

    return CheckCase(
        plugin=CheckPlugin(name="flag", api=1, create=create, config_type=config_type),
        healthy=healthy,
        sick=lambda: flag("down"),
        silent=lambda: flag("silent"),
    )


async def broken_clauses(tried: CheckCase) -> set[str]:
    """The clauses whose checks fail."""
    broken: set[str] = set()
    for check in CHECKS:
        try:
            await _run(check, tried)
        except (ClauseError, RuntimeError):
            broken.add(".".join(check.__name__.split("_")[1:3]))
    return broken


async def _run(check: Callable[[CheckCase], Awaitable[None]], tried: CheckCase) -> None:
    before = asyncio.all_tasks()
    try:
        await check(tried)
    finally:
        for task in asyncio.all_tasks() - before:
            task.cancel()


async def test_a_sound_one_passes() -> None:
    assert await broken_clauses(case(FlagCheck)) == set()


@pytest.mark.parametrize(
    ("create", "clause"),
    [
        (NeedsALoop, "1.1"),
        (SaysNothing, "2.1"),
        (Raises, "2.2"),
        (Remembers, "2.3"),
        (LeavesATask, "2.4"),
        (Blocks, "3.1"),
        (Deaf, "3.1"),
        (Shares, "3.2"),
        (Talks, "4.1"),
    ],
)
async def test_one_that_breaks_a_clause_is_caught(
    create: Callable[..., Any], clause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consul_kernel.testing.check_kit.CANCEL_S", 0.05)
    assert clause in await broken_clauses(case(create))


async def test_so_are_keys_that_are_not_its_own_or_are_taken_all_the_same() -> None:
    greedy = case(FlagCheck, GreedyConfig)
    assert await broken_clauses(greedy) == {"1.2"}
    lenient = CheckCase(plugin=greedy.plugin, healthy=greedy.healthy, sick=greedy.sick, refused=[{"flag": "nonsense"}])
    assert "1.3" in await broken_clauses(lenient)
