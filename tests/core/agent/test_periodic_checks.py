"""When checks are probed, and what becomes of whatever a plugin does, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from consul_kernel.agent.checks.periodic import PeriodicRunner
from consul_kernel.agent.checks.turns import COMMANDS_MAX, PROBES_MAX, Turns
from consul_kernel.contracts.check import Outcome
from consul_kernel.structs.check import CheckDefinition, CheckStatus
from consul_kernel.testing.virtual_time import VirtualTimeLoop, run_virtual
from harness.checks import SECOND_NS

PASSING = Outcome(CheckStatus.PASSING, "fine")
CHECKS = 1000
INTERVAL_S = 10
WINDOW_S = 0.1


class Probed:
    """A check that a function carries out; counts what is asked of it."""

    def __init__(self, work: Callable[[], Awaitable[Outcome]]) -> None:
        self._work = work
        self.at_once = 0
        self.most_at_once = 0
        self.started_s: list[float] = []

    async def probe(self) -> Outcome:
        self.started_s.append(asyncio.get_running_loop().time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._work()
        finally:
            self.at_once -= 1


async def at_once() -> Outcome:
    return PASSING


async def never() -> Outcome:
    await asyncio.sleep(1e6)
    return PASSING


class Wordy(Probed):
    """One with an outcome of its own for a timeout."""

    def timed_out(self) -> Outcome:
        return Outcome(CheckStatus.CRITICAL, "too slow")


def runner(
    check: Probed,
    report: Callable[[CheckStatus, str], None] = lambda status, output: None,
    *,
    turns: Turns | None = None,
    rng: random.Random | None = None,
    interval_s: float = INTERVAL_S,
    timeout_s: float = 10.0,
    runs_commands: bool = False,
) -> PeriodicRunner:
    return PeriodicRunner(
        CheckDefinition(id="c", interval=int(interval_s * SECOND_NS)),
        report,
        check,
        shown_type="x",
        runs_commands=runs_commands,
        timeout_s=timeout_s,
        output_limit_bytes=100,
        turn=(turns or Turns()).of(runs_commands=runs_commands),
        rng=rng or random.Random(1),
    )


def busiest(started_s: list[float]) -> int:
    """The most probes of any tenth of a second."""
    return max(Counter(int(moment / WINDOW_S) for moment in started_s).values())


async def _thousand(seed: int, duration_s: float, standstill_s: float = 0.0) -> list[Probed]:
    turns, rng = Turns(), random.Random(seed)
    checks = [Probed(at_once) for _ in range(CHECKS)]
    runners = [runner(check, turns=turns, rng=rng) for check in checks]
    for made in runners:
        made.start()
    await asyncio.sleep(duration_s)
    if standstill_s:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop._virtual.now_s += standstill_s
        for check in checks:
            check.started_s.clear()
        await asyncio.sleep(duration_s)
    for made in runners:
        made.stop()
    return checks


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_thousand_checks_are_probed_without_bursts(seed: int) -> None:
    """Ten in a tenth of a second on average; and each once in every interval."""
    checks = run_virtual(_thousand(seed, duration_s=5.5 * INTERVAL_S))
    assert {len(check.started_s) for check in checks} == {5, 6}
    assert busiest([moment for check in checks for moment in check.started_s]) <= 30


@pytest.mark.parametrize("standstill_s", [4.0, 10.0, 61.3])
def test_nor_is_there_a_burst_after_a_standstill(standstill_s: float) -> None:
    """What was due meanwhile is left out where it is very late; what is less late is made up for by and by."""
    checks = run_virtual(_thousand(1, duration_s=3 * INTERVAL_S, standstill_s=standstill_s))
    assert {len(check.started_s) for check in checks} <= {2, 3, 4}
    later_s = [moment for check in checks for moment in check.started_s]
    assert busiest(later_s) <= 40


def test_no_check_is_probed_twice_at_once() -> None:
    async def slow() -> Outcome:
        await asyncio.sleep(25)
        return PASSING

    async def main() -> Probed:
        check = Probed(slow)
        made = runner(check, timeout_s=100)
        made.start()
        await asyncio.sleep(100)
        made.stop()
        return check

    check = run_virtual(main())
    assert check.most_at_once == 1
    first_s = check.started_s[0]
    assert [round(moment - first_s) for moment in check.started_s] == [0, 30, 60, 90]


@pytest.mark.parametrize(("runs_commands", "most"), [(False, PROBES_MAX), (True, COMMANDS_MAX)])
def test_no_more_than_so_many_are_probed_at_once(runs_commands: bool, most: int) -> None:
    async def main() -> Probed:
        turns, check = Turns(), Probed(never)
        made = [runner(check, turns=turns, timeout_s=60, runs_commands=runs_commands) for _ in range(most + 100)]
        for one in made:
            one.start()
        await asyncio.sleep(200)
        for one in made:
            one.stop()
        return check

    check = run_virtual(main())
    assert check.most_at_once == most
    assert len(check.started_s) >= most + 100


def test_an_interval_has_a_floor() -> None:
    async def main() -> Probed:
        check = Probed(at_once)
        made = runner(check, interval_s=0.001)
        made.start()
        await asyncio.sleep(10)
        made.stop()
        return check

    assert len(run_virtual(main()).started_s) == 10


def raising(error: BaseException) -> Callable[[], Awaitable[Outcome]]:
    async def work() -> Outcome:
        raise error

    return work


def giving(value: object) -> Callable[[], Awaitable[Outcome]]:
    async def work() -> Outcome:
        return value  # type: ignore[return-value]

    return work


@pytest.mark.parametrize(
    ("check", "output"),
    [
        (Probed(never), "context deadline exceeded (no answer within 2s)"),
        (Wordy(never), "too slow"),
        (Probed(raising(ConnectionRefusedError(111, "refused"))), "[Errno 111] refused"),
        (Probed(raising(KeyError("x"))), "the check could not be run: 'x'"),
        (Probed(raising(asyncio.CancelledError())), "the check could not be run: CancelledError"),
        (Probed(giving(None)), "the check could not be run: the probe gave None where an Outcome was expected"),
        (
            Probed(giving(Outcome(CheckStatus.ANY))),
            f"the check could not be run: the probe gave {Outcome(CheckStatus.ANY)} where an Outcome was expected",
        ),
    ],
)
def test_whatever_a_plugin_does_is_an_outcome(check: Probed, output: str) -> None:
    async def main() -> list[tuple[CheckStatus, str]]:
        reports: list[tuple[CheckStatus, str]] = []
        made = runner(check, lambda status, said: reports.append((status, said)), timeout_s=2)
        made.start()
        await asyncio.sleep(25)
        made.stop()
        return reports

    reports = run_virtual(main())
    assert reports[0] == (CheckStatus.CRITICAL, output)
    assert len(reports) >= 2, "it goes on"


def test_output_is_cut_off_where_a_plugin_does_not() -> None:
    async def main() -> str:
        said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        made = runner(
            Probed(giving(Outcome(CheckStatus.PASSING, "x" * 5000))), lambda _, output: said.set_result(output)
        )
        made.start()
        try:
            return await said
        finally:
            made.stop()

    assert run_virtual(main()) == "x" * 1124 + " ... (captured 1124 of 5000 bytes)"


def test_nothing_is_reported_after_the_end() -> None:
    async def main() -> list[CheckStatus]:
        reports: list[CheckStatus] = []
        made = runner(Probed(never), lambda status, _: reports.append(status))
        made.start()
        await asyncio.sleep(INTERVAL_S + 1)
        made.stop()
        await asyncio.sleep(100)
        return reports

    assert run_virtual(main()) == []
