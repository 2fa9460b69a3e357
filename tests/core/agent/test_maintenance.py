"""Maintenance of a node and of a service: the check, its reason, and that it outlives the agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from consul_kernel.agent.local import LocalState
from consul_kernel.agent.registrations import Registrations
from consul_kernel.contracts.errors import NotFoundError, RequestError
from consul_kernel.structs.check import CheckDefinition, CheckStatus
from consul_kernel.structs.service import ServiceDefinition
from harness.checks import CheckBench

NODE = "_node_maintenance"
WEB = "_service_maintenance:web"


async def nothing() -> None:
    """There is no catalog to wait for."""


@pytest.fixture
def agent(tmp_path: Path) -> Callable[[], LocalState]:
    """Makes the local state of an agent that starts on the same data directory."""

    def start() -> LocalState:
        state = LocalState(
            node_name="n1",
            make_runner=CheckBench().factory,
            on_change=lambda: None,
            pushed=nothing,
            remote_scripts=False,
            kept=Registrations(tmp_path),
        )
        state.restore()
        return state

    return start


async def test_a_node_in_maintenance_is_critical_with_the_reason(agent: Callable[[], LocalState]) -> None:
    local = agent()
    local.enable_node_maintenance("disk")
    check = local.checks()[NODE]
    assert (check.name, check.status, check.notes) == ("Node Maintenance Mode", CheckStatus.CRITICAL, "disk")
    assert (check.type, check.service_id, check.interval, check.timeout) == ("maintenance", "", "", "")
    local.disable_node_maintenance()
    assert not local.checks()
    local.close()


async def test_a_service_in_maintenance_has_its_check(agent: Callable[[], LocalState]) -> None:
    local = agent()
    local.register_service(ServiceDefinition(name="web", tags=["v1"]))
    local.enable_service_maintenance("web", "")
    check = local.checks()[WEB]
    assert (check.name, check.service_id, check.service_name) == ("Service Maintenance Mode", "web", "web")
    assert check.service_tags == ["v1"]
    assert check.notes.startswith("Maintenance mode is enabled for this service, but no reason was provided.")
    local.disable_service_maintenance("web")
    assert not local.checks()
    local.close()


async def test_the_first_reason_stays(agent: Callable[[], LocalState]) -> None:
    local = agent()
    local.enable_node_maintenance("first")
    local.enable_node_maintenance("second")
    assert local.checks()[NODE].notes == "first"
    local.disable_node_maintenance()
    local.enable_node_maintenance("third")
    assert local.checks()[NODE].notes == "third"
    local.close()


async def test_a_service_that_is_not_here_is_refused(agent: Callable[[], LocalState]) -> None:
    local = agent()
    with pytest.raises(NotFoundError, match='No service registered with ID "web"'):
        local.enable_service_maintenance("web", "")
    with pytest.raises(NotFoundError, match='No service registered with ID "web"'):
        local.disable_service_maintenance("web")
    local.close()


async def test_maintenance_ends_with_the_service(agent: Callable[[], LocalState]) -> None:
    local = agent()
    local.register_service(ServiceDefinition(name="web"))
    local.enable_service_maintenance("web", "")
    local.deregister_service("web")
    assert not local.checks()
    local.close()
    after = agent()
    assert not after.checks()
    after.close()


async def test_maintenance_outlives_the_agent(agent: Callable[[], LocalState]) -> None:
    before = agent()
    before.register_service(ServiceDefinition(name="web"))
    before.enable_node_maintenance("disk")
    before.enable_service_maintenance("web", "upgrade")
    checks = before.checks()
    before.close()
    after = agent()
    assert after.checks() == checks
    after.disable_node_maintenance()
    after.disable_service_maintenance("web")
    after.close()
    again = agent()
    assert not again.checks()
    again.close()


async def test_nobody_registers_maintenance_as_a_check(agent: Callable[[], LocalState]) -> None:
    local = agent()
    with pytest.raises(RequestError, match="TTL must be > 0 for TTL checks"):
        local.register_check(CheckDefinition(id=NODE, name="mine"))
    local.close()
