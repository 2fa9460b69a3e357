"""Bodies that are nearly right: a valid one of the endpoint with something wrong in it, or wrong as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fuzz.choices import Choices, octets, once_in, one_of

_CHECK: dict[str, Any] = {
    "ID": "c1",
    "Name": "c1",
    "Notes": "n",
    "TTL": "10m",
    "Status": "passing",
    "DeregisterCriticalServiceAfter": "90m",
}
_PROBE: dict[str, Any] = {
    "Name": "p",
    "TCP": "127.0.0.1:1",
    "Interval": "10m",
    "Timeout": "1s",
    "SuccessBeforePassing": 2,
    "FailuresBeforeCritical": 3,
    "OutputMaxSize": 512,
}
_HTTP_PROBE: dict[str, Any] = {
    "Name": "h",
    "HTTP": "http://127.0.0.1:1/",
    "Method": "POST",
    "Header": {"X": ["a", "b"]},
    "Body": "{}",
    "TLSSkipVerify": True,
    "Interval": "10m",
}
_SERVICE: dict[str, Any] = {
    "ID": "web1",
    "Name": "web",
    "Tags": ["t1", "t2"],
    "Address": "127.0.0.9",
    "TaggedAddresses": {"lan": {"Address": "127.0.0.9", "Port": 80}},
    "Meta": {"k": "v"},
    "Port": 80,
    "EnableTagOverride": True,
    "Weights": {"Passing": 10, "Warning": 1},
    "Check": _CHECK,
    "Checks": [_PROBE],
}
_CATALOG_CHECK: dict[str, Any] = {
    "Node": "ext",
    "CheckID": "service:web",
    "Name": "x",
    "Status": "critical",
    "Output": "aaaa" * 50,
    "ServiceID": "web1",
    "Definition": {"TCP": "127.0.0.1:1", "Interval": "10s", "Timeout": "1s", "DeregisterCriticalServiceAfter": "1m"},
}
_CATALOG_SERVICE: dict[str, Any] = {
    "Service": "web",
    "ID": "web1",
    "Tags": ["t"],
    "Port": 80,
    "Meta": {"k": "v"},
    "Weights": {"Passing": 1, "Warning": 1},
}
_NODE: dict[str, Any] = {
    "ID": "40e4a748-2192-161a-0510-9bf59fe950b5",
    "Node": "ext",
    "Address": "127.0.0.8",
    "Datacenter": "dc1",
    "TaggedAddresses": {"lan": "127.0.0.8", "wan": "127.0.0.8"},
    "Meta": {"k": "v"},
}
_QUERY: dict[str, Any] = {
    "Name": "q",
    "Session": "",
    "Token": "",
    "Template": {"Type": "name_prefix_match", "Regexp": "^q-(.*)$", "RemoveEmptyTags": True},
    "Service": {
        "Service": "web",
        "Failover": {"NearestN": 3, "Datacenters": ["dc2"]},
        "Near": "_agent",
        "OnlyPassing": True,
        "IgnoreCheckIDs": ["c1"],
        "Tags": ["t1", "!t2"],
        "NodeMeta": {"k": "v"},
        "ServiceMeta": {"k": "v"},
        "Connect": False,
    },
    "DNS": {"TTL": "10s"},
}
_TXN: list[Any] = [
    {"KV": {"Verb": "set", "Key": "a/b", "Value": "aGVsbG8=", "Flags": 42, "Index": 0, "Session": ""}},
    {"KV": {"Verb": "check-index", "Key": "a/b", "Index": 1}},
    {"KV": {"Verb": "get-tree", "Key": "a/"}},
    {"Node": {"Verb": "set", "Node": _NODE}},
    {"Service": {"Verb": "set", "Node": "ext", "Service": _CATALOG_SERVICE}},
    {"Check": {"Verb": "set", "Check": _CATALOG_CHECK}},
    {"Session": {"Verb": "delete", "Session": {"ID": "11111111-1111-2222-3333-444444444444"}}},
]
_CONFIG_ENTRIES: tuple[dict[str, Any], ...] = (
    {"Kind": "service-defaults", "Name": "web", "Protocol": "http", "Meta": {"k": "v"}},
    {"Kind": "proxy-defaults", "Name": "global", "Config": {"a": 1, "b": [1.5, None]}},
    {
        "Kind": "service-resolver",
        "Name": "web",
        "DefaultSubset": "v1",
        "Subsets": {"v1": {"Filter": "Service.Meta.v == 1"}},
        "Failover": {"*": {"Datacenters": ["dc2"]}},
        "ConnectTimeout": "5s",
    },
    {"Kind": "service-splitter", "Name": "web", "Splits": [{"Weight": 90.5, "Service": "a"}, {"Weight": 9.5}]},
    {
        "Kind": "service-router",
        "Name": "web",
        "Routes": [
            {
                "Match": {"HTTP": {"PathPrefix": "/a", "Header": [{"Name": "x", "Regex": "(a*)*"}]}},
                "Destination": {"Service": "a", "NumRetries": 3},
            }
        ],
    },
    {"Kind": "service-intentions", "Name": "web", "Sources": [{"Name": "a", "Action": "deny", "Precedence": 9}]},
    {
        "Kind": "ingress-gateway",
        "Name": "in",
        "Listeners": [{"Port": 80, "Protocol": "http", "Services": [{"Name": "*"}]}],
    },
    {"Kind": "terminating-gateway", "Name": "t", "Services": [{"Name": "web", "CAFile": "x"}]},
    {"Kind": "mesh", "TransparentProxy": {"MeshDestinationsOnly": True}},
)
_SESSION: dict[str, Any] = {
    "Name": "s",
    "Node": "server",
    "LockDelay": "15s",
    "Behavior": "delete",
    "TTL": "1h",
    "NodeChecks": ["serfHealth"],
    "ServiceChecks": [{"ID": "service:web", "Namespace": ""}],
    "Checks": [],
}
_COORDINATE: dict[str, Any] = {
    "Node": "ext",
    "Segment": "",
    "Coord": {"Vec": [0.1, -0.2, 0, 0, 0, 0, 0, 0], "Error": 1.5, "Adjustment": 0.0, "Height": 1e-5},
}

EXAMPLES: Mapping[str, tuple[Any, ...]] = {
    "/v1/catalog/register": (
        {
            **_NODE,
            "Service": _CATALOG_SERVICE,
            "Check": _CATALOG_CHECK,
            "Checks": [_CATALOG_CHECK],
            "SkipNodeUpdate": True,
        },
        _NODE,
    ),
    "/v1/catalog/deregister": (
        {"Datacenter": "dc1", "Node": "ext", "ServiceID": "web1", "CheckID": "service:web"},
        {"Node": "ext"},
    ),
    "/v1/agent/service/register": (_SERVICE, {"Name": "deploy"}),
    "/v1/agent/check/register": (_CHECK, _PROBE, _HTTP_PROBE, {**_CHECK, "ServiceID": "web1"}),
    "/v1/agent/check/update/": ({"Status": "warning", "Output": "o"},),
    "/v1/agent/token/": ({"Token": "t"},),
    "/v1/agent/connect/authorize": ({"Target": "web", "ClientCertURI": "spiffe://a/b", "ClientCertSerial": "1"},),
    "/v1/session/create": (_SESSION, {}),
    "/v1/txn": (_TXN, _TXN[:2], _TXN[2:3], [{"KV": {"Verb": "get", "Key": "a/b"}}]),
    "/v1/query": (_QUERY, {"Name": "q2", "Service": {"Service": "web"}}),
    "/v1/query/": (_QUERY,),
    "/v1/config": _CONFIG_ENTRIES,
    "/v1/coordinate/update": (_COORDINATE,),
    "/v1/operator/keyring": ({"Key": "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=", "RelayFactor": 1},),
    "/v1/operator/autopilot/configuration": (
        {
            "CleanupDeadServers": True,
            "LastContactThreshold": "200ms",
            "MaxTrailingLogs": 250,
            "MinQuorum": 0,
            "ServerStabilizationTime": "10s",
        },
    ),
}
"""By a route's pattern; what has no example of its own is sent those of others."""

ALL_EXAMPLES = tuple(example for examples in EXAMPLES.values() for example in examples)

_DEEP = 10_000


class Literal(str):
    """JSON text that stands for itself."""


ODD_JSON = (
    *(
        "null",
        "true",
        "false",
        "0",
        "-1",
        "-0",
        "1.0",
        "1.5",
        "1e2",
        "1e999",
        "-1e999",
        "1E-999",
        "01",
        "+1",
        ".5",
        "1.",
    ),
    *("9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616"),
    *("1" + "0" * 400, "0." + "1" * 400, "NaN", "Infinity", "-Infinity", "nul", "''", "undefined", "/* */1", "0x10"),
    *(
        '""',
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\u0000"',
        '"\\x"',
        '"\\u12"',
        '"a\tb"',
        '"é"',
        '"\u2028"',
        '"10s"',
        '"-1s"',
    ),
    *(
        '"99999999999999h"',
        '"' + "x" * 70_000 + '"',
        '"===="',
        '"aGVsbG8"',
        "[]",
        "{}",
        "[[]]",
        "[null]",
        "[{}]",
        '[""]',
        '{"":null}',
    ),
    *(
        "[" * _DEEP + "]" * _DEEP,
        "[" * _DEEP,
        '{"a":' * _DEEP + "1" + "}" * _DEEP,
        '{"a":1,"a":2}',
        "[1,]",
        '{"a":1,}',
        "[,]",
    ),
    *(
        '"127.0.0.1"',
        '"::1"',
        '"-bad name.é"',
        '"11111111-1111-2222-3333-444444444444"',
        '"(a*)*b"',
        "[" + "1," * 5_000 + "1]",
    ),
)


def write_json(value: Any) -> str:
    """JSON, with literals as they are, and pairs in place of dicts where a key stands twice."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if isinstance(value, tuple):
        return "{" + ",".join(f"{json.dumps(key)}:{write_json(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write_json, value)) + "]"
    return json.dumps(value)


_UNKNOWN_KEYS = ("Nope", "Namespace", "http", "args", "tls_skip_verify", "_")


def change_json(choices: Choices, value: Any) -> Any:
    """The value with one thing changed, somewhere in it."""
    inner = len(value) if isinstance(value, (dict, list)) else 0
    if not inner or once_in(choices, 10):
        return Literal(one_of(choices, ODD_JSON))
    return _changed_list(choices, value) if isinstance(value, list) else _changed_object(choices, value)


def _changed_list(choices: Choices, value: list[Any]) -> list[Any]:
    at = choices.below(len(value))
    match choices.below(7):
        case 0:
            return value[:at] + value[at + 1 :]
        case 1:
            return value * one_of(choices, (2, 30, 70))
        case _:
            return [*value[:at], change_json(choices, value[at]), *value[at + 1 :]]


def _changed_object(choices: Choices, value: dict[str, Any]) -> Any:
    key = one_of(choices, sorted(value))
    rest = {name: item for name, item in value.items() if name != key}
    match choices.below(10):
        case 0:
            return rest
        case 1:
            folded = key.replace("K", "\u212a").replace("s", "ſ")  # equal in Go, which folds case as Unicode does
            again = one_of(choices, (key, key.lower(), key.upper(), folded))
            return (*value.items(), (again, change_json(choices, value[key])))
        case 2:
            renamed = one_of(choices, (key.lower(), key.upper(), f"_{key}", "", "x" * 300, "\ud800", key + "\0"))
            return (*rest.items(), (renamed, value[key]))
        case 3:
            return {**value, one_of(choices, _UNKNOWN_KEYS): change_json(choices, value[key])}
        case _:
            return {**rest, key: change_json(choices, value[key])}


_ODD_OCTETS = (b"\xff", b"\0", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"{", b"}", b'"', b"\\", b",", b"\n", b"garbage")


def spoil(choices: Choices, body: bytes) -> bytes:
    """The octets with something wrong: cut, followed by something, with a mark before, with octets in between."""
    at = choices.below(len(body) + 1)
    match choices.below(5):
        case 0:
            return body[:at]
        case 1:
            return body + one_of(choices, (b" ", b"\n{}", b"x", b"\0" * 100, body))
        case 2:
            return one_of(choices, (b"\xef\xbb\xbf", b"\xff\xfe", b" \t\r\n", b"\0", b")]}'")) + body
        case 3:
            return body[:at] + one_of(choices, _ODD_OCTETS) + body[at:]
        case _:
            return body.decode("utf-8", "surrogateescape").encode("utf-16" if at % 2 else "utf-32", "surrogatepass")


def json_body(choices: Choices, pattern: str) -> bytes:
    """A body for a route."""
    kind = choices.below(14)
    if kind == 12:
        return octets(choices, 40)
    value: Any = one_of(choices, EXAMPLES.get(pattern, ALL_EXAMPLES))
    if kind == 11:
        value = Literal(one_of(choices, ODD_JSON))
    elif kind > 2:
        value = change_json(choices, value)
        if kind > 7:
            value = change_json(choices, dict(value) if isinstance(value, tuple) else value)
    body = write_json(value).encode("utf-8", "surrogatepass")
    return spoil(choices, body) if kind == 13 else body
