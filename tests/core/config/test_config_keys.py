"""Every key of the schema is taken with its type and refused with another; the reference page agrees with it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consul_kernel.config.build import Host
from consul_kernel.config.keys import SCHEMA
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.config.model import AgentConfig
from consul_kernel.config.problems import ConfigErrors
from consul_kernel.config.reference import fill, render_keys
from consul_kernel.config.schema import Effect, Key, KeyType

Load = Callable[..., AgentConfig]
Refuse = Callable[..., list[str]]

SAMPLES: dict[KeyType, Any] = {
    KeyType.TEXT: "x",
    KeyType.BOOL: True,
    KeyType.INT: 3,
    KeyType.FLOAT: 2.5,
    KeyType.DURATION: "10h",
    KeyType.PORT: 1234,
    KeyType.TEXTS: ["a", "b"],
    KeyType.TEXT_MAP: {"k": "v"},
    KeyType.DURATION_MAP: {"*": "5s"},
    KeyType.SERVICES: [{"name": "s"}],
    KeyType.CHECKS: [{"name": "c", "ttl": "1s"}],
    KeyType.WATCHES: [{"type": "nodes", "handler_type": "http", "http_handler_config": {"path": "http://x/"}}],
    KeyType.ANYTHING: {"any": [1]},
}
WRONG: dict[KeyType, Any] = dict.fromkeys(KeyType, 5) | dict.fromkeys((KeyType.INT, KeyType.FLOAT, KeyType.PORT), "5")
SPECIAL: dict[str, Any] = {
    "encrypt": base64.b64encode(bytes(32)).decode(),
    "log_level": "warn",
    "node_id": "11111111-2222-3333-4444-555555555555",
    "bootstrap": False,
    "data_dir": "/tmp",
    "protocol": 2,
    "raft_protocol": 2,
    "dns_config.recursor_strategy": "random",
    "http_config.allow_write_http_from": ["10.0.0.0/8"],
    **{
        key: "10.9.9.9"
        for key in SCHEMA.keys
        if key.startswith(("addresses.", "advertise_addr"))
        or key in {"bind_addr", "client_addr", "serf_lan", "serf_wan"}
    },
    **{key: "fd00::9" for key in SCHEMA.keys if key.endswith("_ipv6")},
    **{key.path: False for key in SCHEMA.keys.values() if key.default is True and key.effect is Effect.UNUSED},
}


def nested(path: str, value: Any) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


def load_key(key: Key, value: Any, host: Host) -> AgentConfig:
    overrides = {"server": True, "data_dir": "/tmp"} if key.path.startswith(("bootstrap", "server")) else {}
    return load_config([], overrides | nested(key.path, value), host=host)


@pytest.mark.parametrize("key", SCHEMA.keys.values(), ids=lambda key: key.path)
def test_each_key_is_taken_warned_of_or_refused(key: Key, host: Host) -> None:
    value = SPECIAL.get(key.path, SAMPLES[key.type])
    if key.effect is Effect.REFUSED:
        with pytest.raises(ConfigErrors) as caught:
            load_key(key, value, host)
        (problem,) = caught.value.problems
        assert (problem.key, f"does not do {key.reason} yet" in problem.message) == (key.path, True)
        return
    config = load_key(key, value, host)
    noticed = [warning for warning in config.warnings if "no effect in this version" in warning.message]
    assert [warning.key for warning in noticed] == ([key.path] if key.effect is Effect.UNUSED else [])


@pytest.mark.parametrize("key", SCHEMA.keys.values(), ids=lambda key: key.path)
def test_each_key_refuses_another_type(key: Key, host: Host) -> None:
    if key.type is KeyType.ANYTHING:
        assert load_key(key, WRONG[key.type], host).warnings
        return
    with pytest.raises(ConfigErrors) as caught:
        load_key(key, WRONG[key.type], host)
    assert any(problem.key.startswith(key.path) and "expected" in problem.message for problem in caught.value.problems)


@pytest.mark.parametrize("key", SCHEMA.keys.values(), ids=lambda key: key.path)
def test_each_default_is_what_the_key_takes(key: Key, host: Host) -> None:
    if key.default is not None and key.path not in {"data_dir", "node_id"}:
        default: object = list(key.default) if isinstance(key.default, tuple) else key.default
        base = {"server": True, "data_dir": "/tmp"} if key.path.startswith("bootstrap") else {"data_dir": "/tmp"}
        assert load_config([], base | nested(key.path, default), host=host) == load_config([], base, host=host)


def test_keys_match_without_case(load: Load) -> None:
    assert load('Node_Name = "n"\nPORTS { Http = 5 }').ports["http"] == 5


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("retry_joinn = []", '0.hcl:1: retry_joinn: unknown key; did you mean "retry_join"?'),
        ("NodeName = 1", '0.hcl:1: NodeName: unknown key; did you mean "node_name"?'),
        ("ports { htp = 1 }", '0.hcl:1: ports.htp: unknown key; did you mean "ports.http"?'),
        ("raft_multiplier = 1", '0.hcl:1: raft_multiplier: unknown key; did you mean "performance.raft_multiplier"?'),
        ("stor {}", '0.hcl:1: stor: unknown key; did you mean "store"?'),
        (
            "dns_config { soa { refresch = 1 } }",
            '0.hcl:1: dns_config.soa.refresch: unknown key; did you mean "dns_config.soa.refresh"?',
        ),
        ("zzzzzz = 1", "0.hcl:1: zzzzzz: unknown key"),
        ("ports = 5", "0.hcl:1: ports: expected a block { … }, got the number 5"),
        ('server = "true"', '0.hcl:1: server: expected true or false, got the text "true"'),
        ("bootstrap_expect = 2.5", "0.hcl:1: bootstrap_expect: expected a whole number, got the number 2.5"),
        (
            'retry_join = "a"',
            (
                '0.hcl:1: retry_join: expected a list of texts, such as ["10.0.0.1", "10.0.0.2"], got the text "a": '
                'write ["a"]'
            ),
        ),
        (
            'retry_interval = "10"',
            (
                '0.hcl:1: retry_interval: expected a duration, such as "10s" or "1h30m", got the text "10": '
                'time: missing unit in duration "10"'
            ),
        ),
        (
            "node_meta { a = 1 }",
            "0.hcl:1: node_meta.a: expected a text in quotes, got the number 1",
        ),
        (
            'service "web" { port = 1 }',
            '0.hcl:1: service: takes no label; write its name inside of the block: service { name = "web" … }',
        ),
        ('ports "x" {}', '0.hcl:1: ports: takes no label "x"'),
    ],
)
def test_errors_say_what_was_expected_and_what_is_nearest(text: str, error: str, refuse: Refuse) -> None:
    assert refuse(text) == [error]


def test_null_says_nothing(host: Host) -> None:
    text = '{"server": null, "ports": null, "services": null, "node_meta": null}'
    assert not load_config([ConfigSource(text=text, format="json")], host=host).server


def test_a_list_of_one_stands_for_its_element(load: Load) -> None:
    config = load('bind_addr = ["10.0.0.5"]\nports = [{ http = 5 }, { dns = 6 }]')
    assert (config.bind_addr, config.ports["http"], config.ports["dns"]) == ("10.0.0.5", 5, 6)


def test_a_key_given_twice_in_a_file_is_noticed(load: Load) -> None:
    config = load('data_dir = "/tmp"\nnode_name = "a"\nnode_name = "b"')
    assert config.node_name == "b"
    assert [str(warning) for warning in config.warnings] == [
        "0.hcl:3: node_name: is given again here; line 2 counts no more"
    ]


def test_the_reference_page_lists_the_keys_as_they_are() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference-configuration.md").read_text(encoding="utf-8")
    assert render_keys() in page
    assert fill(page) == page


def test_every_used_key_says_what_it_is_for() -> None:
    assert [key.path for key in SCHEMA.keys.values() if key.effect is not Effect.UNUSED and not key.doc] == []
