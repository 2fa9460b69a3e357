"""What the agent file registers follows it; what clients registered stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consul_kernel.agent.checks.runner import Report
from consul_kernel.agent.checks.ttl import TtlRunner
from consul_kernel.agent.configured import Configured
from consul_kernel.agent.local import LocalState
from consul_kernel.agent.registrations import Registrations
from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import CheckDefinition, CheckStatus
from consul_kernel.structs.service import ServiceDefinition

MINUTE_NS = 60_000_000_000
WEB = ServiceDefinition(name="web", port=80, check=CheckDefinition(ttl=MINUTE_NS))
DB = ServiceDefinition(name="db", port=5432)
DISK = CheckDefinition(name="disk", ttl=MINUTE_NS)


async def nothing() -> None:
    """There is no catalog to wait for."""


def ttl_runner(definition: CheckDefinition, report: Report) -> TtlRunner:
    if definition.grpc:
        raise RequestError("not here")
    return TtlRunner(definition.ttl / 1e9, report)


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalState]:
    state = LocalState(
        node_name="n1",
        make_runner=ttl_runner,
        on_change=lambda: None,
        pushed=nothing,
        remote_scripts=False,
        kept=Registrations(tmp_path),
    )
    yield state
    state.close()


@pytest.fixture
async def configured(local: LocalState) -> Configured:
    made = Configured(local)
    made.follow([WEB, DB], [DISK])
    return made


async def test_what_the_file_drops_is_deregistered(local: LocalState, configured: Configured) -> None:
    local.register_service(ServiceDefinition(name="mine", check=CheckDefinition(ttl=MINUTE_NS)))
    configured.follow([DB], [])
    assert set(local.services()) == {"db", "mine"}
    assert set(local.checks()) == {"service:mine"}


async def test_what_is_as_it_was_is_left_alone(local: LocalState, configured: Configured) -> None:
    entries, runners = dict(local.service_entries), dict(local.runners)
    configured.follow([WEB, DB], [DISK])
    assert all(local.service_entries[key] is entry for key, entry in entries.items())
    assert all(local.runners[key] is runner for key, runner in runners.items())


async def test_a_change_is_registered_and_checks_keep_their_state(local: LocalState, configured: Configured) -> None:
    local.update_ttl_check("service:web", CheckStatus.PASSING, "fine")
    check = CheckDefinition(ttl=2 * MINUTE_NS, status=CheckStatus.CRITICAL)
    configured.follow([ServiceDefinition(name="web", port=81, check=check), DB], [DISK])
    assert local.services()["web"].port == 81
    assert (local.checks()["service:web"].status, local.checks()["service:web"].output) == ("passing", "fine")
    assert not local.service_entries["web"].in_sync


async def test_a_check_that_the_service_lost_goes_but_not_those_of_others(
    local: LocalState, configured: Configured
) -> None:
    local.register_check(CheckDefinition(name="extra", service_id="web", ttl=MINUTE_NS))
    local.enable_service_maintenance("web", "upgrade")
    configured.follow([ServiceDefinition(name="web", port=80), DB], [DISK])
    assert set(local.checks()) == {"extra", "_service_maintenance:web", "disk"}


async def test_what_somebody_deregistered_comes_back(local: LocalState, configured: Configured) -> None:
    local.deregister_service("db")
    local.deregister_check("service:web")
    local.deregister_check("disk")
    configured.follow([WEB, DB], [DISK])
    assert set(local.services()) == {"web", "db"}
    assert set(local.checks()) == {"service:web", "disk"}


async def test_the_file_wins_over_what_a_client_put_in_its_place(
    local: LocalState, configured: Configured, tmp_path: Path
) -> None:
    local.register_service(ServiceDefinition(name="web", port=9999))
    configured.follow([WEB, DB], [DISK])
    assert local.services()["web"].port == 80
    assert not list(Registrations(tmp_path).services())


async def test_what_a_client_put_in_its_place_stays_when_the_file_drops_it(
    local: LocalState, configured: Configured
) -> None:
    local.register_service(ServiceDefinition(name="web", port=9999))
    configured.follow([DB], [DISK])
    assert local.services()["web"].port == 9999


async def test_what_would_be_refused_is_found_before_anything_changes(
    local: LocalState, configured: Configured
) -> None:
    bad = ServiceDefinition(name="bad", check=CheckDefinition(grpc="h:1", interval=MINUTE_NS))
    with pytest.raises(RequestError, match="not here"):
        configured.validate([bad], [])
    with pytest.raises(RequestError, match="Missing check name"):
        configured.validate([], [CheckDefinition(ttl=1)])
    assert set(local.services()) == {"web", "db"}
