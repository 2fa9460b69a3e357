"""What is registered with an agent: definitions, refusals, and TTL checks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consul_kernel.agent.checks.output import output_limit_bytes, truncated
from consul_kernel.agent.checks.runner import Report
from consul_kernel.agent.checks.ttl import TtlRunner
from consul_kernel.agent.local import LocalState
from consul_kernel.agent.registrations import Registrations
from consul_kernel.contracts.errors import AgentError, RequestError
from consul_kernel.structs.check import CheckDefinition, CheckStatus
from consul_kernel.structs.service import ServiceDefinition, Weights
from harness.checks import CheckBench

SECOND_NS = 1_000_000_000


async def nothing() -> None:
    """There is no catalog to wait for."""


def ttl_runner(definition: CheckDefinition, report: Report) -> TtlRunner:
    return TtlRunner(definition.ttl / 1e9, report)


class Changes:
    """Counts the calls of `on_change`."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
async def local(changes: Changes) -> AsyncIterator[LocalState]:
    state = LocalState(
        node_name="n1", make_runner=CheckBench().factory, on_change=changes, pushed=nothing, remote_scripts=False
    )
    yield state
    state.close()


async def test_a_service_takes_its_name_as_id(local: LocalState, changes: Changes) -> None:
    local.register_service(ServiceDefinition(name="web", port=80))
    service = local.services()["web"]
    assert (service.id, service.service, service.port, service.tags) == ("web", "web", 80, [])
    assert service.weights == Weights(passing=1, warning=1)
    assert changes.count == 1


@pytest.mark.parametrize(
    ("address", "tags"),
    [
        ("10.0.0.1", {"lan_ipv4", "wan_ipv4"}),
        ("fd00::1", {"lan_ipv6", "wan_ipv6"}),
        ("web.example", set()),
        ("", set()),
    ],
)
async def test_a_service_with_an_address_of_its_own_is_tagged(local: LocalState, address: str, tags: set[str]) -> None:
    local.register_service(ServiceDefinition(name="web", port=80, address=address))
    tagged = local.services()["web"].tagged_addresses or {}
    assert set(tagged) == tags
    assert all((entry.address, entry.port) == (address, 80) for entry in tagged.values())


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        (ServiceDefinition(), "Missing service name"),
        (ServiceDefinition(name="w", address="0.0.0.0"), "Invalid service address"),
        (ServiceDefinition(name="w", address="::"), "Invalid service address"),
        (ServiceDefinition(name="w", meta={"": "v"}), "Key cannot be blank"),
        (ServiceDefinition(name="w", meta={"bad key": "v"}), "Key contains invalid characters"),
        (ServiceDefinition(name="w", meta={"consul-x": "v"}), "reserved for internal use"),
        (ServiceDefinition(name="w", meta={"k": "v" * 513}), "Value is too long"),
        (ServiceDefinition(name="w", weights=Weights(passing=0)), "Passing must be greater than 0"),
        (ServiceDefinition(name="w", weights=Weights(passing=70000)), "between 0 and 65535"),
        (ServiceDefinition(name="w", check=CheckDefinition(name="x")), "TTL must be > 0 for TTL checks"),
        (
            ServiceDefinition(name="w", check=CheckDefinition(ttl=1, interval=1)),
            "Interval and TTL cannot both be specified",
        ),
        (
            ServiceDefinition(name="w", check=CheckDefinition(ttl=SECOND_NS, status="odd")),
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
    ],
)
async def test_a_bad_service_is_refused_and_changes_nothing(
    local: LocalState, changes: Changes, definition: ServiceDefinition, text: str
) -> None:
    with pytest.raises(RequestError, match=text):
        local.register_service(definition)
    assert not local.services()
    assert not local.checks()
    assert changes.count == 0


async def test_checks_of_a_service_are_numbered_when_there_are_several(local: LocalState) -> None:
    ttl = CheckDefinition(ttl=SECOND_NS)
    local.register_service(ServiceDefinition(name="web", check=ttl, checks=[ttl, CheckDefinition()]))
    assert sorted(local.checks()) == ["service:web:1", "service:web:2"]
    assert local.checks()["service:web:1"].name == "Service 'web' check"


async def test_replacing_existing_checks_removes_those_that_are_not_given(local: LocalState) -> None:
    local.register_service(ServiceDefinition(name="web", check=CheckDefinition(check_id="old", ttl=SECOND_NS)))
    local.register_service(
        ServiceDefinition(name="web", check=CheckDefinition(check_id="new", ttl=SECOND_NS)),
        replace_existing_checks=True,
    )
    assert list(local.checks()) == ["new"]


async def test_a_check_of_an_unknown_service_is_refused(local: LocalState) -> None:
    with pytest.raises(AgentError, match='ServiceID "none" does not exist'):
        local.register_check(CheckDefinition(name="c", service_id="none", ttl=SECOND_NS))


async def test_scripts_need_leave_when_they_come_from_outside(local: LocalState) -> None:
    script = CheckDefinition(name="c", script_args=["true"], interval=SECOND_NS)
    with pytest.raises(AgentError, match="Scripts are disabled on this agent from remote calls"):
        local.register_check(script)


async def test_a_ttl_check_lives_by_updates_and_expires(local: LocalState, changes: Changes) -> None:
    local.register_check(CheckDefinition(name="beat", ttl=SECOND_NS // 50))
    assert local.checks()["beat"].status == CheckStatus.CRITICAL
    local.update_ttl_check("beat", CheckStatus.PASSING, "fine")
    assert (local.checks()["beat"].status, local.checks()["beat"].output) == ("passing", "fine")
    async with asyncio.timeout(5):
        while local.checks()["beat"].status != CheckStatus.CRITICAL:
            await asyncio.sleep(0.005)
    assert local.checks()["beat"].output == "TTL expired (last output before timeout follows): fine"
    assert changes.count == 3


async def test_updating_what_is_no_ttl_check_is_refused(local: LocalState) -> None:
    with pytest.raises(AgentError, match='CheckID "none" does not have associated TTL'):
        local.update_ttl_check("none", CheckStatus.PASSING, "")


async def test_deregistering_a_service_takes_its_checks_along(local: LocalState) -> None:
    local.register_service(ServiceDefinition(name="web", check=CheckDefinition(ttl=SECOND_NS)))
    local.deregister_service("web")
    assert not local.services()
    assert not local.checks()
    assert all(entry.deleted for entry in local.check_entries.values())


async def test_output_alone_waits_for_the_update_interval(local: LocalState, changes: Changes) -> None:
    local.register_check(CheckDefinition(name="beat", ttl=60 * SECOND_NS, status="passing"))
    before = changes.count
    local.update_ttl_check("beat", CheckStatus.PASSING, "other output")
    assert changes.count == before
    assert local.check_entries["beat"].output_pending


@pytest.mark.parametrize(("given_s", "after_s"), [(90, 90), (60, 60), (1, 60)])
async def test_critical_for_too_long(local: LocalState, given_s: int, after_s: int) -> None:
    """Consul's floor is a minute."""
    check = CheckDefinition(ttl=60 * SECOND_NS, deregister_critical_service_after=given_s * SECOND_NS)
    local.register_service(ServiceDefinition(name="web", check=check))
    since_s = local.check_entries["service:web"].critical_since_s
    assert since_s is not None
    assert local.critical_services(since_s + after_s - 1) == []
    assert local.critical_services(since_s + after_s + 1) == ["web"]


@pytest.mark.parametrize(
    ("output", "limit", "kept"),
    [
        ("short", 10, "short"),
        ("0123456789", 4, "0123 ... (captured 4 of 10 bytes)"),
        ("é" * 4, 3, "é ... (captured 3 of 8 bytes)"),
    ],
)
def test_truncated(output: str, limit: int, kept: str) -> None:
    assert truncated(output, limit) == kept


@pytest.mark.parametrize(("own", "limit"), [(0, 100), (50, 50), (500, 100)])
def test_a_definition_may_lower_the_agents_limit(own: int, limit: int) -> None:
    assert output_limit_bytes(CheckDefinition(output_max_size=own), 100) == limit


async def test_a_service_with_a_check_that_is_not_done_here_is_refused_whole(changes: Changes, tmp_path: Path) -> None:
    def only_ttl(definition: CheckDefinition, report: Report) -> TtlRunner:
        if not definition.ttl:
            raise RequestError("Invalid check: not done here")
        return ttl_runner(definition, report)

    local = LocalState(
        node_name="n1",
        make_runner=only_ttl,
        on_change=changes,
        pushed=nothing,
        remote_scripts=False,
        kept=Registrations(tmp_path),
    )
    unknown = CheckDefinition(name="other", grpc="127.0.0.1:1", interval=SECOND_NS)
    with pytest.raises(RequestError, match="not done here"):
        local.register_service(ServiceDefinition(name="web", checks=[CheckDefinition(ttl=SECOND_NS), unknown]))
    with pytest.raises(RequestError, match="not done here"):
        local.register_check(unknown)
    assert not local.services()
    assert not local.checks()
    assert not [*Registrations(tmp_path).services(), *Registrations(tmp_path).checks()]
    assert changes.count == 0
    local.close()
