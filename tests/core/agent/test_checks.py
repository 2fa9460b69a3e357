"""What the kernel does around every check: kinds, thresholds, aliases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.agent.checks import alias
from consul_kernel.agent.checks.alias import outcome
from consul_kernel.agent.checks.kinds import check_kind, validate_check
from consul_kernel.agent.checks.thresholds import Thresholds
from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import CheckDefinition, CheckStatus, HealthCheck
from harness.checks import CheckBench


@pytest.fixture
async def bench() -> AsyncIterator[CheckBench]:
    made = CheckBench()
    yield made
    made.close()


async def test_alias_follows_local_and_remote_checks(bench: CheckBench) -> None:
    bench.local = [HealthCheck(check_id="x", name="x", service_id="web", status="critical", output="down")]
    expected = (CheckStatus.CRITICAL, 'Aliased check "x" failing: down')
    assert await bench.first_report(CheckDefinition(id="a", alias_service="web")) == expected
    remote = CheckDefinition(id="b", alias_node="elsewhere", alias_service="web")
    assert await bench.first_report(remote) == expected


@pytest.mark.parametrize(
    ("statuses", "status", "output"),
    [
        ([], CheckStatus.PASSING, "No checks found."),
        (["passing"], CheckStatus.PASSING, "All checks passing."),
        (["passing", "warning", "passing"], CheckStatus.WARNING, 'Aliased check "1" failing: o1'),
        (["warning", "critical"], CheckStatus.CRITICAL, 'Aliased check "1" failing: o1'),
    ],
)
def test_alias_takes_the_worst(statuses: list[str], status: CheckStatus, output: str) -> None:
    checks = [HealthCheck(name=str(n), status=s, output=f"o{n}") for n, s in enumerate(statuses)]
    assert outcome(checks) == (status, output)


PASS, WARN, FAIL = CheckStatus.PASSING, CheckStatus.WARNING, CheckStatus.CRITICAL


@pytest.mark.parametrize(
    ("limits", "outcomes", "reported"),
    [
        ({}, [PASS, FAIL, WARN, PASS], [PASS, FAIL, WARN, PASS]),
        ({"success_before_passing": 2}, [PASS, FAIL, PASS, PASS, PASS], [PASS, FAIL, None, PASS, PASS]),
        ({"success_before_passing": 3}, [FAIL, PASS, WARN, PASS], [FAIL, None, None, PASS]),
        ({"failures_before_critical": 3}, [FAIL, PASS, FAIL, FAIL, FAIL], [FAIL, PASS, None, None, FAIL]),
        (
            {"failures_before_warning": 2, "failures_before_critical": 3},
            [PASS, FAIL, FAIL, FAIL, FAIL, PASS],
            [PASS, None, WARN, FAIL, FAIL, PASS],
        ),
    ],
)
def test_thresholds_hold_back_all_but_the_first_outcome(
    limits: dict[str, int], outcomes: list[CheckStatus], reported: list[CheckStatus | None]
) -> None:
    seen: list[CheckStatus] = []
    thresholds = Thresholds(CheckDefinition(**limits), lambda status, _: seen.append(status))  # type: ignore[arg-type]
    for status, expected in zip(outcomes, reported, strict=True):
        seen.clear()
        thresholds.observe(status, "")
        assert seen == ([] if expected is None else [expected])


@given(
    st.builds(
        CheckDefinition,
        ttl=st.sampled_from([0, 1, -1]),
        interval=st.sampled_from([0, 1]),
        script_args=st.sampled_from([None, ["x"]]),
        **{
            key: st.sampled_from(["", "x"])
            for key in ("http", "tcp", "grpc", "h2ping", "alias_service", "docker_container_id", "kind")
        },
    )
)
def test_what_is_valid_has_a_kind(definition: CheckDefinition) -> None:
    try:
        kind = validate_check(definition)
    except RequestError:
        return
    assert kind == check_kind(definition) != ""


async def test_an_alias_survives_a_fault(bench: CheckBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias, "LOCAL_INTERVAL_S", 0.001)
    faults: list[Exception] = [KeyError("a fault of ours")]

    def checks() -> list[HealthCheck]:
        if faults:
            raise faults.pop()
        return []

    reports: asyncio.Queue[CheckStatus] = asyncio.Queue()
    runner = alias.AliasRunner(
        CheckDefinition(id="c", alias_service="web"),
        lambda status, _: reports.put_nowait(status),
        local_checks=checks,
        node_checks=bench.node_checks,
    )
    runner.start()
    async with asyncio.timeout(5):
        assert [await reports.get(), await reports.get()] == [CheckStatus.CRITICAL, CheckStatus.PASSING]
    runner.stop()
