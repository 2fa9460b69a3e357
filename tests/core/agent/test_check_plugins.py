"""Which plugin a definition chooses, what it is told, and what becomes of keys that are nobody's."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consul_kernel.agent.checks.plugins import CheckKinds
from consul_kernel.agent.local import LocalState
from consul_kernel.agent.registrations import Registrations
from consul_kernel.contracts.check import Check, CheckContext
from consul_kernel.contracts.errors import AgentError, RequestError
from consul_kernel.structs.check import CheckDefinition, CheckStatus
from consul_kernel.structs.decoding import decode_record
from consul_kernel.structs.service import ServiceDefinition
from harness.acme_checks import ACME, POD
from harness.checks import SECOND_NS, CheckBench, OfferedChecks


@pytest.fixture
def kinds() -> CheckKinds:
    return CheckKinds(OfferedChecks(ACME, POD, broken=["broken_ping"]))


@pytest.fixture
async def bench() -> AsyncIterator[CheckBench]:
    made = CheckBench(plugins=OfferedChecks(ACME, POD, broken=["broken_ping"]))
    yield made
    made.close()


@pytest.mark.parametrize(
    "body",
    [
        {"acme_ping": "a:1", "acme_level": 2, "interval": "1s"},
        {"AcmePing": "a:1", "ACMELEVEL": 2, "Interval": "1s", "AcmeMode": None},
    ],
)
def test_a_key_of_a_plugin_says_the_kind(kinds: CheckKinds, body: dict[str, Any]) -> None:
    expected = CheckDefinition(interval=SECOND_NS, kind="acme_ping", options={"acme_ping": "a:1", "acme_level": 2})
    assert decode_record(CheckDefinition, body, claim=kinds.claim) == expected
    service = decode_record(ServiceDefinition, {"Name": "s", "Check": body, "Checks": [body]}, claim=kinds.claim)
    assert (service.check, service.checks) == (expected, [expected])


def test_a_key_of_consuls_may_have_more_of_the_plugins(kinds: CheckKinds) -> None:
    definition = decode_record(CheckDefinition, {"H2PING": "a:1", "H2PingUseTLS": False}, claim=kinds.claim)
    assert definition == CheckDefinition(h2ping="a:1", options={"h2ping_use_tls": False})


def test_a_kind_gives_way_to_one_that_takes_its_key(kinds: CheckKinds) -> None:
    definition = decode_record(CheckDefinition, {"PodID": "p", "Args": ["x"]}, claim=kinds.claim)
    assert (definition.kind, definition.script_args) == ("pod_id", ["x"])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"Bogus": 1, "TTL": "1s"}, 'json: unknown field "Bogus"'),
        ({"Bogus": None}, 'json: unknown field "Bogus"'),
        ({"acme_level": 1, "TTL": "1s"}, 'json: unknown field "acme_level"'),
        ({"acme_ping": "a:1", "bogus": 1}, 'json: unknown field "bogus"'),
        ({"h2ping_use_tls": True, "TCP": "a:1"}, 'json: unknown field "h2ping_use_tls"'),
        ({"kind": "acme_ping"}, 'json: unknown field "kind"'),
        ({"Options": {"acme_ping": "a:1"}}, 'json: unknown field "Options"'),
        ({"acme_ping": 1}, "acme_ping: expected a text in quotes, got a whole number"),
        ({"acme_ping": "a", "acme_level": -1}, "acme_level: expected a whole number of at least 0"),
        ({"acme_ping": "a", "AcmeMode": "x"}, 'AcmeMode: expected one of "fast", "slow"'),
        (
            {"acme_ping": "a", "TTL": "1s"},
            "Invalid check: `acme_ping` and `ttl` are two kinds of check, and a definition has one",
        ),
        (
            {"acme_ping": "a", "UDP": "b:1"},
            "Invalid check: `udp` and `acme_ping` are two kinds of check, and a definition has one",
        ),
    ],
)
def test_what_is_nobodys_or_makes_no_sense_is_refused(kinds: CheckKinds, body: dict[str, Any], text: str) -> None:
    for record_type, whole in ((CheckDefinition, body), (ServiceDefinition, {"Checks": [body]})):
        with pytest.raises(RequestError) as caught:
            decode_record(record_type, whole, claim=kinds.claim)
        assert str(caught.value) == text


def test_without_plugins_nothing_more_is_taken() -> None:
    for record_type, body in ((CheckDefinition, {"UDP": "a:1"}), (ServiceDefinition, {"check": {"UDP": "a:1"}})):
        with pytest.raises(RequestError, match='json: unknown field "UDP"'):
            decode_record(record_type, body)


def test_a_plugin_that_does_not_load_is_not_the_callers_fault(kinds: CheckKinds) -> None:
    with pytest.raises(AgentError, match=r"acme-checks 1\.0"):
        decode_record(CheckDefinition, {"broken_ping": "a"}, claim=kinds.claim)


def acme(**changes: Any) -> CheckDefinition:
    definition = CheckDefinition(
        id="c", name="n", interval=SECOND_NS, kind="acme_ping", options={"acme_ping": "a:1", "acme_mode": "slow"}
    )
    return msgspec.structs.replace(definition, **changes)


async def test_it_is_told_its_keys_and_those_of_consul_that_it_takes(bench: CheckBench) -> None:
    definition = acme(header={"X": ["1"]}, tls_skip_verify=True, timeout=2 * SECOND_NS, output_max_size=1000)
    _, output = await bench.first_report(definition)
    for part in (
        "check_id='c', name='n', service_id='', node_name='n1', datacenter='dc1', timeout_s=2.0",
        "output_limit_bytes=1000",
        "acme_ping='a:1', acme_level=0, acme_mode='slow', tls_skip_verify=True, header={'X': ['1']}",
    ):
        assert part in output
    assert bench.runners[0].shown_type == "acme"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"options": {"acme_ping": "nowhere"}}, "Invalid check: acme_ping is no place"),
        ({"options": {"acme_ping": 5}}, "Invalid check: acme_ping: expected a text in quotes, got a whole number"),
        ({"interval": 0}, "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, or TCP checks"),
    ],
)
async def test_what_its_record_refuses_is_a_bad_definition(
    bench: CheckBench, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(RequestError) as caught:
        await bench.first_report(acme(**changes))
    assert str(caught.value) == text


async def test_one_that_cannot_be_made_is_an_error_of_the_agent() -> None:
    def create(context: CheckContext, config: object) -> Check:
        raise KeyError("oops")

    bench = CheckBench(plugins=OfferedChecks(dataclasses.replace(ACME, create=create)))
    with pytest.raises(AgentError, match="check plugin 'acme_ping' failed: KeyError: 'oops'"):
        await bench.first_report(acme())


def local_state(folder: Path, *, has_plugins: bool, remote_scripts: bool = False) -> LocalState:
    async def nothing() -> None:
        """There is no catalog to wait for."""

    plugins = OfferedChecks(ACME, POD) if has_plugins else OfferedChecks()
    bench = CheckBench(plugins=plugins)
    return LocalState(
        node_name="n1",
        make_runner=bench.factory,
        on_change=lambda: None,
        pushed=nothing,
        remote_scripts=remote_scripts,
        kept=Registrations(folder),
        claim_keys=bench.kinds.claim,
    )


async def test_a_registration_stays_when_its_plugin_is_gone(tmp_path: Path) -> None:
    first = local_state(tmp_path, has_plugins=True)
    of_service = acme(id="", deregister_critical_service_after=60 * SECOND_NS)
    first.register_service(ServiceDefinition(name="web", check=of_service))
    first.register_check(acme(id="node", notes="kept"))
    first.close()

    second = local_state(tmp_path, has_plugins=False)
    second.restore()
    for check_id in ("service:web", "node"):
        check = second.checks()[check_id]
        assert (check.status, check.type) == (CheckStatus.CRITICAL, "acme_ping")
        assert check.output.startswith("this check cannot be carried out: no check plugin named 'acme_ping'")
    assert second.checks()["node"].notes == "kept"
    assert second.critical_services(now_s=math.inf) == [], "the service is not taken out for that"
    second.close()

    third = local_state(tmp_path, has_plugins=True)
    third.restore()
    assert [third.checks()[check_id].type for check_id in ("service:web", "node")] == ["acme", "acme"]
    third.close()


async def test_commands_need_leave_whoever_offers_the_kind(tmp_path: Path) -> None:
    definition = acme(kind="pod_id", options={"pod_id": "p"}, script_args=["x"])
    closed = local_state(tmp_path, has_plugins=True)
    with pytest.raises(AgentError, match="Scripts are disabled on this agent from remote calls"):
        closed.register_check(definition)
    closed.register_check(definition, from_file=True)
    assert closed.checks()["c"].type == "pod_id"
    closed.close()
    open_state = local_state(tmp_path, has_plugins=True, remote_scripts=True)
    open_state.register_check(definition)
    open_state.close()


ONLY_WHAT_IS_NAMED = """
import sys
from consul_kernel.config.load import ConfigSource, load_config
load_config([ConfigSource(text='check { name = "c" tcp = "127.0.0.1:1" interval = "1s" }')])
print(*sorted(name for name in sys.modules if name.startswith("consul_kernel_checks.") or name in ("h2", "aiohttp")))
"""


def test_what_no_definition_names_is_not_imported() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ONLY_WHAT_IS_NAMED], capture_output=True, text=True, timeout=60, check=True
    )
    modules = ["consul_kernel_checks.dialling", "consul_kernel_checks.targets", "consul_kernel_checks.tcp"]
    assert ran.stdout.split() == modules
