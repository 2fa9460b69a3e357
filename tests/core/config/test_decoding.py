"""Records from JSON bodies, as Consul reads them and complains."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.config_kinds import decode_entry, show_entry
from consul_kernel.structs.coordinate import CoordinateUpdateRequest
from consul_kernel.structs.decoding import decode_record
from consul_kernel.structs.duration import MINUTE, SECOND
from consul_kernel.structs.go_json import decode_json
from consul_kernel.structs.service import NodeService, ServiceDefinition


@pytest.mark.parametrize(
    "body",
    [
        {"Name": "web", "TTL": "10s", "DeregisterCriticalServiceAfter": "1m", "ServiceID": "s1"},
        {"name": "web", "ttl": "10s", "deregister_critical_service_after": "1m", "service_id": "s1"},
        {"NAME": "web", "Ttl": 10_000_000_000, "deregistercriticalserviceafter": "1m", "serviceid": "s1"},
    ],
)
def test_keys_match_without_case_and_in_snake_case(body: dict[str, Any]) -> None:
    check = decode_record(CheckDefinition, json.dumps(body).encode())
    assert (check.name, check.ttl, check.deregister_critical_service_after, check.service_id) == (
        "web",
        10 * SECOND,
        MINUTE,
        "s1",
    )


def test_args_are_script_args() -> None:
    assert decode_record(CheckDefinition, {"Args": ["a", "b"]}).script_args == ["a", "b"]
    assert decode_record(CheckDefinition, {"ScriptArgs": ["a"]}).script_args == ["a"]


def test_nested_records_maps_and_lists() -> None:
    service = decode_record(
        ServiceDefinition,
        {
            "name": "web",
            "tagged_addresses": {"lan": {"address": "10.0.0.1", "port": 80}},
            "Weights": {"Passing": 5},
            "Checks": [{"CheckID": "c", "HTTP": "http://x/", "Interval": "5s", "header": {"X": ["1"]}}],
            "proxy": {"any": ["thing"]},
        },
    )
    assert service.tagged_addresses is not None
    assert service.tagged_addresses["lan"].port == 80
    assert service.weights is not None
    assert (service.weights.passing, service.weights.warning) == (5, 1)
    assert service.checks is not None
    assert (service.checks[0].check_id, service.checks[0].interval) == ("c", 5 * SECOND)
    assert service.checks[0].header == {"X": ["1"]}
    assert service.proxy == {"any": ["thing"]}


def test_null_leaves_the_default() -> None:
    assert decode_record(ServiceDefinition, b'{"Name": null, "Tags": null}') == ServiceDefinition()
    assert decode_record(ServiceDefinition, b"null") == ServiceDefinition()


@pytest.mark.parametrize(
    ("record_type", "body", "text"),
    [
        (ServiceDefinition, b"", "EOF"),
        (ServiceDefinition, b"{bad", "invalid character 'b' looking for beginning of object key string"),
        (ServiceDefinition, b'{"Bogus": 1}', 'json: unknown field "Bogus"'),
        (CheckDefinition, b'{"CheckID": "c"}', 'json: unknown field "CheckID"'),
        (ServiceDefinition, b'{"Check": {"ID": "c"}}', 'json: unknown field "ID"'),
        (ServiceDefinition, b'{"Check": {"Script": "c"}}', 'json: unknown field "Script"'),
        (CheckDefinition, b'{"TTL": "soon"}', 'time: invalid duration "soon"'),
        (
            ServiceDefinition,
            b'{"Name": 5}',
            "json: cannot unmarshal number into Go struct field ServiceDefinition.Name of type string",
        ),
        (
            ServiceDefinition,
            b'{"Port": 80.5}',
            "json: cannot unmarshal number 80.5 into Go struct field ServiceDefinition.Port of type int",
        ),
        (
            ServiceDefinition,
            b'{"Port": "80"}',
            "json: cannot unmarshal string into Go struct field ServiceDefinition.Port of type int",
        ),
        (ServiceDefinition, b"[]", "json: cannot unmarshal array into Go value of type structs.ServiceDefinition"),
    ],
)
def test_refusals_are_gos(record_type: type[msgspec.Struct], body: bytes, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode_record(record_type, body)
    assert str(caught.value) == text


def test_catalog_registration_takes_durations_of_its_check() -> None:
    request = decode_record(RegisterRequest, b'{"node": "n", "check": {"Definition": {"Interval": "10s"}}}')
    assert request.check is not None
    assert request.check.definition.interval == 10 * SECOND


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"  ", "EOF"),
        (b"{", "unexpected EOF"),
        (b'{"a"', "unexpected EOF"),
        (b'"a', "unexpected EOF"),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"tru ", "invalid character ' ' in literal true (expecting 'e')"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1ex", "invalid character 'x' in exponent of numeric literal"),
        (b'{"a": -1e999}', "json: cannot unmarshal number -1e999 into Go value of type float64"),
        (b'"\\q"', "invalid character 'q' in string escape code"),
        (b'"\\u00z"', "invalid character 'z' in \\u hexadecimal character escape"),
        (b'"\n"', "invalid character '\\n' in string literal"),
        (b"'a'", "invalid character '\\'' looking for beginning of value"),
    ],
)
def test_syntax_errors_are_gos(body: bytes, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode_json(body)
    assert str(caught.value) == text


def test_what_follows_the_first_value_is_not_looked_at() -> None:
    assert decode_json(b'{"a": [1, "\xff"]} trailing') == {"a": [1, "�"]}


@pytest.mark.parametrize("number", [10**400, -(10**400)])
def test_a_number_that_no_float_holds_is_refused(number: int) -> None:
    body = json.dumps({"Node": "n", "Coord": {"Error": number}}).encode()
    with pytest.raises(RequestError, match=r"^json: cannot unmarshal number .* of type float64$"):
        decode_record(CoordinateUpdateRequest, body)


def test_half_a_surrogate_pair_is_replaced_as_go_does() -> None:
    body = rb'{"a\ud800": ["\ud83d\ude00", "x\udc00y"], "b": "\\ud800"}'
    decoded = decode_json(body)
    assert decoded == {"a\ufffd": ["\U0001f600", "x\ufffdy"], "b": "\\ud800"}


@settings(derandomize=True)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_value_or_a_request_error(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        decode_json(body)
    with contextlib.suppress(RequestError):
        decode_record(ServiceDefinition, body)


@settings(derandomize=True)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["Name", "check", "Checks", "ttl", "port", "tags", "x"]), inner, max_size=4
            )
        ),
        max_leaves=10,
    )
)
def test_any_json_is_a_record_or_a_request_error(value: object) -> None:
    body = json.dumps(value).encode()
    with contextlib.suppress(RequestError):
        decode_record(ServiceDefinition, body)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(RequestError):
        decode_json(b"[" * 100_000)


def test_numbers_of_any_size_in_a_free_form_can_be_sent_on() -> None:
    entry = decode_entry({"Kind": "proxy-defaults", "Name": "global", "Config": {"a": 2**64, "b": [1e300, 7.0, True]}})
    shown = msgspec.to_builtins(show_entry(entry))["Config"]
    assert shown == {"a": float(2**64), "b": [1e300, 7, True]}
    assert [type(shown["a"]), *map(type, shown["b"])] == [float, float, int, bool]
    with pytest.raises(RequestError):
        decode_entry({"Kind": "proxy-defaults", "Name": "global", "Config": {"a": 10**400}})
    service = decode_record(NodeService, b'{"Proxy": {"Config": {"a": [18446744073709551616, 18446744073709551615]}}}')
    assert service.proxy == {"Config": {"a": [float(2**64), 2**64 - 1]}}
