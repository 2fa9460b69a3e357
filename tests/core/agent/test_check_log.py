"""What an operator reads of checks: every change of state once, and nothing between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from consul_kernel.agent.checks.runner import Report
from consul_kernel.agent.checks.ttl import TtlRunner
from consul_kernel.agent.local import LocalState
from consul_kernel.structs.check import CheckDefinition, CheckStatus
from consul_kernel.structs.service import ServiceDefinition

SECOND_NS = 1_000_000_000
INFO, WARNING = logging.INFO, logging.WARNING


def ttl_runner(definition: CheckDefinition, report: Report) -> TtlRunner:
    return TtlRunner(definition.ttl / 1e9, report)


async def _at_once() -> None:
    """The catalog hears of everything at once."""


def make_local(*, discard_output: bool = False) -> LocalState:
    return LocalState(
        node_name="n1",
        make_runner=ttl_runner,
        on_change=lambda: None,
        pushed=_at_once,
        remote_scripts=False,
        discard_output=discard_output,
    )


@pytest.fixture
async def local() -> AsyncIterator[LocalState]:
    state = make_local()
    state.register_service(ServiceDefinition(name="web"))
    yield state
    state.close()


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(INFO, logger="consul_kernel.agent")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


async def test_each_change_of_state_is_one_line(local: LocalState, caplog: pytest.LogCaptureFixture) -> None:
    local.register_check(CheckDefinition(id="c", name="C", ttl=60 * SECOND_NS, service_id="web"))
    local.update_ttl_check("c", CheckStatus.PASSING, "fine")
    local.update_ttl_check("c", CheckStatus.PASSING, "still fine")
    local.update_ttl_check("c", CheckStatus.WARNING, "slow\nand more")
    local.update_ttl_check("c", CheckStatus.CRITICAL, "x" * 500)
    local.update_ttl_check("c", CheckStatus.CRITICAL, "y")
    assert lines(caplog) == [
        (INFO, "check c of service web is now passing"),
        (WARNING, "check c of service web is now warning: slow"),
        (WARNING, "check c of service web is now critical: " + "x" * 200),
    ]


async def test_a_check_that_fails_from_its_beginning_is_told_once(
    local: LocalState, caplog: pytest.LogCaptureFixture
) -> None:
    definition = CheckDefinition(id="c", name="C", ttl=60 * SECOND_NS)
    for _ in range(2):  # who registers again changes nothing
        local.register_check(definition)
        local.update_ttl_check("c", CheckStatus.CRITICAL, "down")
    assert lines(caplog) == [(WARNING, "check c is now critical: down")]


async def test_a_ttl_that_expires_is_told_as_missed(local: LocalState, caplog: pytest.LogCaptureFixture) -> None:
    local.register_check(CheckDefinition(id="c", name="C", ttl=SECOND_NS // 100, status=CheckStatus.PASSING))
    async with asyncio.timeout(5):
        while local.checks()["c"].status != CheckStatus.CRITICAL:
            await asyncio.sleep(0.005)
    assert lines(caplog) == [(WARNING, "check c missed its TTL and is now critical: TTL expired")]


async def test_output_that_is_discarded_is_not_logged_either(caplog: pytest.LogCaptureFixture) -> None:
    local = make_local(discard_output=True)
    local.register_check(CheckDefinition(id="c", name="C", ttl=60 * SECOND_NS))
    local.update_ttl_check("c", CheckStatus.CRITICAL, "a secret")
    local.close()
    assert lines(caplog) == [(WARNING, "check c is now critical")]
