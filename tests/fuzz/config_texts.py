"""Agent files that are nearly right: any keys that there are, with values that others might have, in HCL and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consul_kernel.config.keys import SCHEMA
from consul_kernel.config.load import ConfigSource, load_config
from consul_kernel.config.problems import ConfigErrors, ConfigProblem
from fuzz.choices import Choices, once_in, one_of
from fuzz.json_bodies import EXAMPLES as BODIES
from fuzz.json_bodies import ODD_JSON, Literal, change_json, spoil, write_json
from fuzz.odd_values import ODD_DURATIONS, ODD_NUMBERS

_KEYS = tuple(SCHEMA.keys)
_NAME = "fuzz.conf"
_VALUES: tuple[Any, ...] = (
    *(
        True,
        False,
        0,
        1,
        -1,
        65_536,
        2**63,
        1.5,
        "",
        "a",
        "10s",
        "127.0.0.1",
        "::1",
        "0.0.0.0/0",
        "{{ GetPrivateIP }}",
        "{{ x",
    ),
    *(
        "unix:///x",
        "dc1",
        "a b",
        "é",
        "\0",
        "x" * 300,
        [],
        ["a"],
        [1],
        [[]],
        {},
        {"a": "b"},
        {"a": 1},
        [{}],
        [{"a": 1}, {"a": 2}],
        None,
    ),
    *(
        '{{ GetInterfaceIP "lo" }}',
        '{{ GetAllInterfaces | include "name" "(a*)*b" | attr "address" }}',
        "${x}",
        "<<EOF",
    ),
)
_TABLES: dict[str, Any] = {
    "service": BODIES["/v1/agent/service/register"][0],
    "services": list(BODIES["/v1/agent/service/register"]),
    "check": BODIES["/v1/agent/check/register"][0],
    "checks": list(BODIES["/v1/agent/check/register"]),
    "watches": [
        {"type": "key", "key": "a", "handler_type": "http", "http_handler_config": {"path": "http://127.0.0.1:1/"}}
    ],
    "interface": [{"http": {"port": 1}}, {"dns": {"port": 2}}],
    "store": {"disk": {}},
    "membership": {"swim": {"profile": "lan"}},
    "consensus": {"raft": {"heartbeat_ms": 1000}},
    "cipher": {"nacl": {"key": "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="}},
    "node_meta": {"k": "v"},
    "ports": {"http": 8500, "dns": -1},
    "config_entries": {"bootstrap": list(BODIES["/v1/config"])},
}


@dataclass(frozen=True, slots=True)
class ConfigText:
    """One file."""

    text: str
    format: str


def make_config(choices: Choices) -> ConfigText:
    """A file with some keys."""
    document: dict[str, Any] = {"node_name": "n", "data_dir": "/nonexistent"}
    for _ in range(1 + choices.below(5)):
        if choices.below(2):
            key = one_of(choices, tuple(_TABLES))
            document[key] = change_json(choices, _TABLES[key]) if choices.below(4) else _TABLES[key]
        else:
            _put(document, one_of(choices, _KEYS), _value(choices))
    kind = "json" if choices.below(2) else "hcl"
    text = write_json(document) if kind == "json" else _hcl_body(document)
    if once_in(choices, 8):
        text = spoil(choices, text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    return ConfigText(text, kind)


def _value(choices: Choices) -> Any:
    match choices.below(4):
        case 0:
            return Literal(one_of(choices, ODD_JSON))
        case 1:
            return one_of(choices, (*ODD_DURATIONS, *ODD_NUMBERS))
        case _:
            return one_of(choices, _VALUES)


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *tables, last = path.split(".")
    for name in tables:
        inner = document.get(name)
        document[name] = document = inner if isinstance(inner, dict) else {}
    document[last] = value


def _hcl_body(table: Mapping[str, Any] | tuple[Any, ...], depth: int = 0) -> str:
    items = table.items() if isinstance(table, Mapping) else table
    return "".join(f"{'  ' * depth}{json.dumps(key)} = {_hcl(value, depth)}\n" for key, value in items)


def _hcl(value: Any, depth: int) -> str:
    if isinstance(value, (Mapping, tuple)):
        return "{\n" + _hcl_body(value, depth + 1) + "  " * depth + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_hcl(item, depth) for item in value) + "]"
    return write_json(value)


def check_config(case: ConfigText) -> str:
    """Read it. AssertionError unless it is good, or its errors say where they are; what else is raised is a fault."""
    problems = _problems(case)
    for problem in problems:
        assert problem.message.strip(), "a problem that says nothing"
        if problem.position is None:
            assert problem.key or " " in problem.message, f"a problem of nothing: {problem}"
        else:
            assert problem.position.source == _NAME, f"a problem somewhere else: {problem}"
            assert problem.position.line > 0, f"a problem without a line: {problem}"
    return "refused" if problems else "taken"


def _problems(case: ConfigText) -> Sequence[ConfigProblem]:
    try:
        load_config([ConfigSource(text=case.text, name=_NAME, format=case.format)])
    except ConfigErrors as errors:
        return errors.problems
    return ()
