"""Check definitions in agent files whose kind is a plugin's: keys, values, and every mistake with its line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from consul_kernel.agent.checks.plugins import CheckKinds
from consul_kernel.config.build import Host
from consul_kernel.config.model import AgentConfig
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.duration import SECOND
from harness.acme_checks import ACME, POD
from harness.checks import OfferedChecks

Load = Callable[..., AgentConfig]
Refuse = Callable[..., list[str]]


@pytest.fixture
def host() -> Host:
    kinds = CheckKinds(OfferedChecks(ACME, POD, broken=["broken_ping"]))
    return Host(hostname=lambda: "box", addresses=lambda: (), kinds=kinds)


@pytest.fixture
def load(load: Load) -> Load:
    """As it is, with an address for every agent."""
    return lambda *texts, **overrides: load('bind_addr = "127.0.0.1"', *texts, **overrides)


@pytest.mark.parametrize(
    "text",
    [
        'check { name = "c" acme_ping = "a:1" acme_level = 2 interval = "1s" header { X = ["1"] } }',
        'checks = [{ Name = "c", AcmePing = "a:1", acmelevel = 2, Interval = "1s", Header = { X = ["1"] } }]',
    ],
)
def test_a_plugins_key_says_the_kind(text: str, load: Load) -> None:
    options = {"acme_ping": "a:1", "acme_level": 2}
    expected = CheckDefinition(name="c", interval=SECOND, kind="acme_ping", options=options, header={"X": ["1"]})
    assert load(text).checks == (expected,)


def test_checks_of_services_too(load: Load) -> None:
    (service,) = load('service { name = "s" check { udp = "a:1" interval = "1s" } check { ttl = "1s" } }').services
    assert service.check == CheckDefinition(kind="udp", options={"udp": "a:1"}, interval=SECOND)
    assert service.checks == [CheckDefinition(ttl=SECOND)]


def test_a_key_of_consuls_may_have_more_of_the_plugins(load: Load) -> None:
    (check,) = load('check { name = "c" h2ping = "a:1" h2ping_use_tls = false interval = "1s" }').checks
    assert (check.h2ping, check.kind, check.options) == ("a:1", "", {"h2ping_use_tls": False})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('acme_pingg = "a"\n', ':3: checks[0].acme_pingg: unknown key; did you mean "acme_ping"?'),
        (
            'acme_ping = "a"\nacme_levl = 1',
            ':4: checks[0].acme_levl: unknown key; did you mean "acme_level"?',
        ),
        ('acme_ping = "a"\nintervall = 1', ':4: checks[0].intervall: unknown key; did you mean "interval"?'),
        (
            'acme_ping = "a"\nacme_level = "1"',
            ":4: checks[0].acme_level: expected a whole number, got a text in quotes",
        ),
        ('acme_ping = "a"\nacme_mode = "x"', ':4: checks[0].acme_mode: expected one of "fast", "slow"'),
        ('acme_ping = "nowhere"', ':1: check "c": Invalid check: acme_ping is no place'),
        (
            'acme_ping = "a"\nhttp = "b"',
            ":1: checks[0]: Invalid check: `acme_ping` and `http` are two kinds of check, and a definition has one",
        ),
        (
            'broken_ping = "a"',
            ":1: checks[0]: check 'broken_ping' (acme-checks 1.0) failed to load: RuntimeError: broken",
        ),
        ('tcp = "a:1"\nh2ping_use_tls = true', ":4: checks[0].h2ping_use_tls: unknown key"),
    ],
)
def test_mistakes_have_their_line(body: str, error: str, refuse: Refuse) -> None:
    found = refuse(f'check {{\nname = "c"\n{body}\ninterval = "1s"\n}}')
    assert [line for line in found if line.startswith(f"1.hcl{error}")], found


def test_commands_need_leave_whoever_offers_the_kind(load: Load, refuse: Refuse) -> None:
    text = 'check {\n name = "c"\n pod_id = "p"\n args = ["x"]\n interval = "1s"\n}'
    assert [line for line in refuse(text) if "Scripts are disabled on this agent" in line]
    (check,) = load(text, "enable_local_script_checks = true").checks
    assert (check.kind, check.script_args) == ("pod_id", ["x"])
