"""Configuration entries from what users write, and as they are shown."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.config_kinds import KINDS, decode_entry, show_entry

SECOND = 1_000_000_000


def shown(entry: ConfigEntry) -> Any:
    return json.loads(msgspec.json.encode(show_entry(entry)))


def test_names_in_any_case_and_in_snake_case() -> None:
    raw = {
        "kind": "service-defaults",
        "name": "web",
        "PROTOCOL": "http",
        "external_sni": "sni",
        "upstream_config": {"defaults": {"envoy_listener_json": "{}", "connectTimeoutMs": 5}},
        "CreateIndex": 3,
        "Meta": None,
    }
    entry = decode_entry(raw)
    assert (entry.kind, entry.name, entry.create_index) == ("service-defaults", "web", 0)
    assert entry.settings == {
        "Protocol": "http",
        "ExternalSNI": "sni",
        "UpstreamConfig": {"Defaults": {"EnvoyListenerJSON": "{}", "ConnectTimeoutMs": 5}},
    }


def test_values_with_mapstructures_leniency() -> None:
    raw = {
        "Kind": "service-router",
        "Name": 7,
        "Routes": {
            "Match": [{"HTTP": {"Methods": "GET", "Header": [{"Name": "h", "Present": "true", "Invert": 1}]}}],
            "Destination": {"NumRetries": "0x10", "RequestTimeout": "1.5s", "RetryOnStatusCodes": ["503", 504.0]},
        },
    }
    entry = decode_entry(raw)
    assert entry.name == "7"
    assert entry.settings["Routes"] == [
        {
            "Match": {"HTTP": {"Methods": ["GET"], "Header": [{"Name": "h", "Present": True, "Invert": True}]}},
            "Destination": {
                "NumRetries": 16,
                "RequestTimeout": 1_500_000_000,
                "RetryOnStatusCodes": [503, 504],
            },
        }
    ]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({}, "Payload does not contain a kind/Kind key at the top level"),
        ([], "Payload does not contain a kind/Kind key at the top level"),
        ({"Kind": 1}, "Kind value in payload is not a string"),
        ({"kind": "odd"}, "invalid config entry kind: odd"),
        (
            {"Kind": "service-defaults", "Bogus": 1, "MeshGateway": {"Odd": 1}, "Namespace": "n"},
            (
                "3 errors occurred:\n"
                '\t* invalid config key "Bogus"\n'
                '\t* invalid config key "MeshGateway.Odd"\n'
                '\t* invalid config key "Namespace", namespaces are a consul enterprise feature\n\n'
            ),
        ),
        (
            {"Kind": "mesh", "Name": "mesh"},
            '1 error occurred:\n\t* invalid config key "Name"\n\n',
        ),
        (
            {"Kind": "service-splitter", "Splits": [{"Weight": "x"}, 3]},
            (
                "2 error(s) decoding:\n\n"
                "* 'Splits[1]' expected a map, got 'float64'\n"
                "* cannot parse 'Splits[0].Weight' as float: strconv.ParseFloat: parsing \"x\": invalid syntax"
            ),
        ),
        (
            {
                "Kind": "service-splitter",
                "Splits": [{"Weight": "inf"}, {"Weight": float("nan")}, {"Weight": 1 << 2000}],
            },
            (
                "3 error(s) decoding:\n\n"
                "* 'Splits[1].Weight' expected type 'float32', got unconvertible type 'float64'\n"
                "* 'Splits[2].Weight' expected type 'float32', got unconvertible type 'float64'\n"
                "* cannot parse 'Splits[0].Weight' as float: value out of range"
            ),
        ),
        (
            {"Kind": "ingress-gateway", "Listeners": [{"Port": []}, {"Port": "1e"}, {"Port": 1 << 70}]},
            (
                "3 error(s) decoding:\n\n"
                "* 'Listeners[0].Port' expected type 'int', got unconvertible type '[]interface {}'\n"
                "* cannot parse 'Listeners[1].Port' as int: strconv.ParseInt: parsing \"1e\": invalid syntax\n"
                "* cannot parse 'Listeners[2].Port' as int: value out of range"
            ),
        ),
        (
            {"Kind": "service-resolver", "ConnectTimeout": "soon", "Subsets": {"a": {"OnlyPassing": "maybe"}}},
            (
                "2 error(s) decoding:\n\n"
                "* cannot parse 'Subsets[a].OnlyPassing' as bool: strconv.ParseBool: parsing \"maybe\": invalid "
                "syntax\n"
                "* error decoding 'ConnectTimeout': time: invalid duration \"soon\""
            ),
        ),
    ],
)
def test_what_is_no_entry(raw: Any, text: str) -> None:
    with pytest.raises(RequestError) as raised:
        decode_entry(raw)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("service-defaults", {"Protocol": "", "TransparentProxy": {}, "MeshGateway": {}, "Expose": {}}),
        ("proxy-defaults", {"Config": None, "TransparentProxy": {}, "MeshGateway": {}, "Expose": {}}),
        ("service-router", {"Routes": None}),
        ("service-splitter", {"Splits": None}),
        ("service-resolver", {}),
        ("ingress-gateway", {"TLS": {"Enabled": False}, "Listeners": None}),
        ("terminating-gateway", {"Services": None}),
        ("service-intentions", {"Sources": None}),
    ],
)
def test_what_says_nothing_is_left_out_where_go_does(kind: str, expected: dict[str, Any]) -> None:
    entry = ConfigEntry(kind=kind, name="n", create_index=3, modify_index=4)
    assert shown(entry) == {"Kind": kind, "Name": "n", **expected, "CreateIndex": 3, "ModifyIndex": 4}


def test_of_mesh_no_name_is_shown_and_of_a_newer_kind_all() -> None:
    mesh = ConfigEntry(kind="mesh", name="mesh", settings={"TransparentProxy": {"MeshDestinationsOnly": True}})
    assert shown(mesh) == {
        "Kind": "mesh",
        "TransparentProxy": {"MeshDestinationsOnly": True},
        "CreateIndex": 0,
        "ModifyIndex": 0,
    }
    newer = ConfigEntry(kind="newer", name="n", settings={"A": [1]})
    assert shown(newer) == {"A": [1], "Kind": "newer", "Name": "n", "CreateIndex": 0, "ModifyIndex": 0}


def test_settings_of_any_shape_are_kept_with_whole_numbers_as_such() -> None:
    raw = {"Kind": "proxy-defaults", "Config": {"a": 1.0, "b": [2.5, {"c": 3e3}], "d": None, "e": [True, "x"]}}
    entry = decode_entry(raw)
    assert json.dumps(entry.settings["Config"]) == '{"a": 1, "b": [2.5, {"c": 3000}], "d": null, "e": [true, "x"]}'


def test_one_value_in_a_list_is_that_value() -> None:
    assert decode_entry({"Kind": "service-defaults", "Name": 1 << 2000}).name == str(1 << 2000)
    entry = decode_entry({"Kind": "service-defaults", "Name": ["web"], "MeshGateway": [{"Mode": ["local"]}]})
    assert (entry.name, entry.settings) == ("web", {"MeshGateway": {"Mode": "local"}})


def test_durations_are_text_or_numbers_as_in_consul() -> None:
    raw = {
        "Kind": "service-resolver",
        "Name": "web",
        "ConnectTimeout": "90s",
        "LoadBalancer": {
            "Policy": "maglev",
            "HashPolicies": [{"Field": "cookie", "FieldValue": "c", "CookieConfig": {"TTL": "3s"}}],
        },
        "Subsets": {"v1": {}},
    }
    found = shown(decode_entry(raw))
    assert found["ConnectTimeout"] == "1m30s"
    assert found["LoadBalancer"]["HashPolicies"][0]["CookieConfig"] == {"TTL": 3 * SECOND}
    assert found["Subsets"] == {"v1": {}}


def test_fields_are_shown_in_gos_order() -> None:
    for kind, fields in KINDS.items():
        entry = ConfigEntry(kind=kind, name="n", settings={"Meta": {"k": "v"}})
        names = list(json.loads(msgspec.json.encode(show_entry(entry))))
        order = [field.name for field in fields.fields]
        assert [name for name in order if name in names] == names[:-2]


def test_what_an_archive_has_besides_or_in_another_shape_does_no_harm() -> None:
    settings: dict[str, Any] = {"Routes": {"odd": 1}, "Meta": None, "EnterpriseMeta": {}, "Hash": 5}
    assert shown(ConfigEntry(kind="service-router", name="n", settings=settings))["Routes"] is None
    settings = {"Subsets": {"a": None}, "Redirect": {}, "ConnectTimeout": 0, "Failover": []}
    assert shown(ConfigEntry(kind="service-resolver", name="n", settings=settings)) == {
        "Kind": "service-resolver",
        "Name": "n",
        "Subsets": {"a": {}},
        "Redirect": {},
        "CreateIndex": 0,
        "ModifyIndex": 0,
    }
