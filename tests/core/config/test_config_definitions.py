"""Services and checks of agent files."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from consul_kernel.config.build import Host
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.config.model import AgentConfig
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.duration import MINUTE, SECOND
from consul_kernel.structs.service import ServiceAddress, ServiceDefinition, Weights

Load = Callable[..., AgentConfig]
Refuse = Callable[..., list[str]]

WEB = ServiceDefinition(
    name="web",
    id="w1",
    port=80,
    tags=["a", "b"],
    meta={"k": "v"},
    enable_tag_override=True,
    weights=Weights(passing=5, warning=2),
    tagged_addresses={"lan": ServiceAddress(address="10.0.0.9", port=81)},
    check=CheckDefinition(
        http="http://x/",
        interval=10 * SECOND,
        timeout=SECOND,
        header={"X": ["1", "2"]},
        deregister_critical_service_after=MINUTE,
    ),
)


@pytest.mark.parametrize(
    "text",
    [
        """
        service {
          id = "w1" name = "web" port = 80 tags = ["a", "b"]
          meta { k = "v" }
          enable_tag_override = true
          weights { passing = 5 warning = 2 }
          tagged_addresses { lan { address = "10.0.0.9" port = 81 } }
          check {
            http = "http://x/" interval = "10s" timeout = "1s"
            header { X = ["1", "2"] }
            deregister_critical_service_after = "1m"
          }
        }
        """,
        """
        services = [{
          ID = "w1", Name = "web", Port = 80, Tags = ["a", "b"], Meta = { k = "v" }, EnableTagOverride = true
          Weights = { Passing = 5, Warning = 2 }, TaggedAddresses = { lan = { Address = "10.0.0.9", Port = 81 } }
          Check = {
            HTTP = "http://x/", Interval = 10000000000, Timeout = "1s", Header = { X = ["1", "2"] }
            DeregisterCriticalServiceAfter = "1m"
          }
        }]
        """,
        """
        {"service": {"id": "w1", "name": "web", "port": 80, "tags": ["a", "b"], "meta": {"k": "v"},
          "enable_tag_override": true, "weights": {"passing": 5, "warning": 2},
          "tagged_addresses": {"lan": {"address": "10.0.0.9", "port": 81}},
          "check": {"http": "http://x/", "interval": "10s", "timeout": "1000ms", "header": {"X": ["1", "2"]},
            "deregister_critical_service_after": "60s"}}}
        """,
    ],
)
def test_a_service_in_every_style(text: str, load: Load) -> None:
    assert load(text).services == (WEB,)


def test_checks_of_a_service_may_be_blocks_or_a_list(load: Load) -> None:
    for text in (
        'service { name = "s" check { ttl = "1s" } check { ttl = "2s" } }',
        'service { name = "s" checks = [{ ttl = "1s" }, { ttl = "2s" }] }',
        'service { name = "s" checks { ttl = "1s" } checks { ttl = "2s" } }',
    ):
        (service,) = load(text).services
        checks = [*([service.check] if service.check else []), *(service.checks or [])]
        assert [check.ttl for check in checks] == [SECOND, 2 * SECOND]


def test_a_check_of_the_node(load: Load) -> None:
    config = load(
        'check { id = "mem" name = "Memory" args = ["/bin/mem", "-x"] interval = "10s" }\n'
        'checks = [{ name = "db" service_id = "s" tcp = "127.0.0.1:1" interval = "1s" }]\n'
        "enable_local_script_checks = true"
    )
    first, second = config.checks
    assert (first.id, first.script_args, first.interval) == ("mem", ["/bin/mem", "-x"], 10 * SECOND)
    assert (second.service_id, second.tcp) == ("s", "127.0.0.1:1")


def test_mesh_settings_are_kept_as_they_are(host: Host) -> None:
    text = '{"service": {"name": "s", "connect": {"sidecar_service": {}}, "proxy": {"config": {"a": [1]}}}}'
    (service,) = load_config([ConfigSource(text=text, format="json")], host=host).services
    assert (service.connect, service.proxy) == ({"sidecar_service": {}}, {"config": {"a": [1]}})


def test_keys_of_other_versions_are_noticed(load: Load) -> None:
    config = load('data_dir = "/tmp"\nservice {\n name = "s"\n namespace = "default"\n}')
    assert [str(warning) for warning in config.warnings] == [
        "0.hcl:4: services[0].namespace: is accepted, but has no effect in this version"
    ]


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("service { port = 1 }", ['0.hcl:1: service "": Missing service name']),
        ("services = [5]", ["0.hcl:1: services[0]: expected a block { … }, got the number 5"]),
        (
            'service {\n name = "s"\n prot = 1\n tags = "x"\n check {\n  intervall = "1s"\n  ttl = "x"\n }\n}',
            [
                '0.hcl:3: services[0].prot: unknown key; did you mean "port"?',
                (
                    '0.hcl:4: services[0].tags: expected a list of texts, such as ["10.0.0.1", "10.0.0.2"], '
                    'got the text "x": write ["x"]'
                ),
                '0.hcl:6: services[0].check.intervall: unknown key; did you mean "interval"?',
                (
                    '0.hcl:7: services[0].check.ttl: expected a duration, such as "10s" or "1h30m", got the text "x": '
                    'time: invalid duration "x"'
                ),
            ],
        ),
        (
            'service { name = "s" port = 70000 weights { passing = 0 } }',
            [
                '0.hcl:1: service "s": port 70000 is not in 0 to 65535',
                '0.hcl:1: service "s": Invalid Weights: Passing must be greater than 0',
            ],
        ),
        (
            'service { name = "s" check { http = "x" } }',
            [
                '0.hcl:1: service "s": Invalid check: Interval must be > 0 for Script, HTTP, H2PING, or TCP checks',
            ],
        ),
        (
            'service { name = "s" port = 1 socket_path = "/x" }',
            ['0.hcl:1: service "s": cannot have both socket path and address/port'],
        ),
        ('check { name = "c" }', ['0.hcl:1: check "c": Invalid check: TTL must be > 0 for TTL checks']),
        ('check { ttl = "1s" }', ['0.hcl:1: check "": Missing check name']),
        (
            'check { name = "c" ttl = "1s" interval = "1s" }',
            ['0.hcl:1: check "c": Invalid check: Interval and TTL cannot both be specified'],
        ),
        (
            'check { name = "c" ttl = "1s" status = "odd" }',
            ['0.hcl:1: check "c": Bad check status'],
        ),
    ],
)
def test_every_mistake_has_its_line(text: str, errors: list[str], refuse: Refuse) -> None:
    assert refuse(text) == errors
