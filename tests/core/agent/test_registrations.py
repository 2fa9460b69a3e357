"""Registrations outlive the agent: kept in its data directory, taken up again, dropped when they should be."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from consul_kernel.agent.local import LocalState
from consul_kernel.agent.registrations import Registrations
from consul_kernel.contracts.errors import AgentError
from consul_kernel.structs.check import CheckDefinition, CheckStatus
from consul_kernel.structs.service import ServiceDefinition
from harness.checks import CheckBench

MINUTE_NS = 60_000_000_000
WEB = ServiceDefinition(name="web", port=80, tags=["v1"], check=CheckDefinition(ttl=MINUTE_NS))


async def nothing() -> None:
    """There is no catalog to wait for."""


@pytest.fixture
def agent(tmp_path: Path) -> Callable[..., LocalState]:
    """Makes the local state of an agent that starts on the same data directory."""

    def start(*, remote_scripts: bool = False, configured: ServiceDefinition | None = None) -> LocalState:
        state = LocalState(
            node_name="n1",
            make_runner=CheckBench().factory,
            on_change=lambda: None,
            pushed=nothing,
            remote_scripts=remote_scripts,
            kept=Registrations(tmp_path),
        )
        if configured is not None:
            state.register_service(configured, from_file=True)
        state.restore()
        return state

    return start


async def test_services_and_checks_come_back(agent: Callable[..., LocalState]) -> None:
    before = agent()
    before.register_service(WEB)
    before.register_check(CheckDefinition(name="disk", ttl=MINUTE_NS, notes="n"))
    services, checks = before.services(), before.checks()
    before.close()
    after = agent()
    assert after.services() == services
    assert after.checks() == checks
    after.close()


async def test_what_was_deregistered_stays_away(agent: Callable[..., LocalState]) -> None:
    before = agent()
    before.register_service(WEB)
    before.register_service(ServiceDefinition(name="db"))
    before.register_check(CheckDefinition(name="disk", ttl=MINUTE_NS))
    before.deregister_service("web")
    before.deregister_check("disk")
    before.close()
    after = agent()
    assert set(after.services()) == {"db"}
    assert not after.checks()
    after.close()


async def test_a_check_of_a_service_can_be_deregistered_alone(agent: Callable[..., LocalState]) -> None:
    before = agent()
    before.register_service(WEB)
    before.deregister_check("service:web")
    before.close()
    after = agent()
    assert set(after.services()) == {"web"}
    assert not after.checks()
    after.close()


async def test_a_ttl_that_has_not_run_out_keeps_its_state(agent: Callable[..., LocalState]) -> None:
    before = agent()
    before.register_service(WEB)
    before.update_ttl_check("service:web", CheckStatus.PASSING, "fine")
    before.close()
    after = agent()
    check = after.checks()["service:web"]
    assert (check.status, check.output) == (CheckStatus.PASSING, "fine")
    after.close()


async def test_a_ttl_that_has_run_out_is_critical(agent: Callable[..., LocalState]) -> None:
    before = agent()
    before.register_check(CheckDefinition(name="beat", ttl=1_000_000, status="passing"))
    async with asyncio.timeout(5):
        while before.checks()["beat"].status != CheckStatus.CRITICAL:
            await asyncio.sleep(0.005)
    before.close()
    after = agent()
    assert after.checks()["beat"].output in ("", "TTL expired")
    async with asyncio.timeout(5):
        while after.checks()["beat"].status != CheckStatus.CRITICAL:
            await asyncio.sleep(0.005)
    after.close()


async def test_the_agent_file_wins(agent: Callable[..., LocalState]) -> None:
    before = agent()
    before.register_service(WEB)
    before.close()
    configured = agent(configured=ServiceDefinition(name="web", port=9999))
    assert configured.services()["web"].port == 9999
    configured.close()
    without = agent()
    assert not without.services(), "what the file took over is not kept any more"
    without.close()


async def test_scripts_that_are_not_allowed_any_more_do_not_come_back(agent: Callable[..., LocalState]) -> None:
    before = agent(remote_scripts=True)
    before.register_check(CheckDefinition(name="script", script_args=["true"], interval=MINUTE_NS))
    before.close()
    after = agent()
    assert not after.checks()
    after.close()


async def test_a_damaged_file_is_passed_over(
    agent: Callable[..., LocalState], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = agent()
    before.register_service(WEB)
    before.close()
    (tmp_path / "services" / "damaged.json").write_bytes(b'{"Service": ')
    after = agent()
    assert set(after.services()) == {"web"}
    assert "damaged.json" in caplog.text
    after.close()


async def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "services").write_text("a file where the folder should be")
    state = LocalState(
        node_name="n1",
        make_runner=CheckBench().factory,
        on_change=lambda: None,
        pushed=nothing,
        remote_scripts=False,
        kept=Registrations(tmp_path),
    )
    with pytest.raises(AgentError, match="failed to keep the registration of 'web'"):
        state.register_service(WEB)
    assert not state.services()


async def test_what_cannot_be_kept_replaces_no_checks(agent: Callable[..., LocalState], tmp_path: Path) -> None:
    state = agent()
    state.register_service(WEB)
    shutil.rmtree(tmp_path / "services")
    (tmp_path / "services").write_text("a file where the folder should be")
    with pytest.raises(AgentError, match="failed to keep"):
        state.register_service(ServiceDefinition(name="web", port=81), replace_existing_checks=True)
    assert state.services()["web"].port == 80
    assert set(state.checks()) == {"service:web"}
    state.close()
