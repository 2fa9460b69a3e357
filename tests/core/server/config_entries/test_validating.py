"""What one configuration entry may say: normal forms, and the texts of what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import RequestError
from consul_kernel.server.config_entries import normalise, validate
from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.config_kinds import KINDS, decode_entry

SECOND = 1_000_000_000


def entry(kind: str, name: str = "web", **fields: Any) -> ConfigEntry:
    found = decode_entry({"Kind": kind, **({} if kind == "mesh" else {"Name": name}), **fields})
    return normalise(found)


def fault(kind: str, name: str = "web", **fields: Any) -> str:
    try:
        validate(entry(kind, name, **fields))
    except RequestError as error:
        return str(error)
    return ""


def route(match: dict[str, Any], **destination: Any) -> dict[str, Any]:
    return {"Match": {"HTTP": match}, **({"Destination": destination} if destination else {})}


def listener(*services: dict[str, Any], port: int = 80, protocol: str = "http") -> dict[str, Any]:
    return {"Port": port, "Protocol": protocol, "Services": list(services)}


def http_source(**http: Any) -> dict[str, Any]:
    return {"Name": "a", "Permissions": [{"Action": "allow", "HTTP": http}]}


# --- normal forms ---


def test_protocols_and_methods_have_one_case() -> None:
    upstream = {"Overrides": [{"Name": "db", "Protocol": "GRPC", "ConnectTimeoutMs": -5}]}
    found = entry("service-defaults", Protocol="HTTP", UpstreamConfig=upstream).settings
    assert found["Protocol"] == "http"
    assert found["UpstreamConfig"]["Overrides"] == [{"Name": "db", "Protocol": "grpc", "ConnectTimeoutMs": 0}]
    routes = [route({"Methods": ["get", "Put"]}), {}]
    assert entry("service-router", Routes=routes).settings["Routes"][0]["Match"]["HTTP"]["Methods"] == ["GET", "PUT"]
    listeners = [{"Port": 1}, {"Port": 2, "Protocol": "HTTP"}]
    found = entry("ingress-gateway", Listeners=listeners).settings
    assert [item["Protocol"] for item in found["Listeners"]] == ["tcp", "http"]


def test_of_proxy_defaults_and_mesh_there_is_one() -> None:
    assert entry("proxy-defaults", "other").name == "global"
    assert entry("mesh").name == "mesh"
    assert fault("mesh", TransparentProxy={"MeshDestinationsOnly": True}) == ""


def test_weights_are_kept_in_hundredths() -> None:
    splits = [{"Weight": 33.333, "Service": "a"}, {"Weight": "66.667"}]
    found = entry("service-splitter", Splits=splits)
    assert [split["Weight"] for split in found.settings["Splits"]] == [33.33, 66.67]
    validate(found)


def test_intentions_are_sorted_by_what_they_are_about() -> None:
    sources = [{"Name": "*", "Action": "deny"}, {"Name": "b", "Action": "allow", "LegacyID": "x", "Precedence": 1}]
    found = entry("service-intentions", Sources=sources).settings["Sources"]
    assert found == [
        {"Name": "b", "Action": "allow", "Precedence": 9, "Type": "consul"},
        {"Name": "*", "Action": "deny", "Precedence": 8, "Type": "consul"},
    ]
    found = entry("service-intentions", "*", Sources=sources).settings["Sources"]
    assert [source["Precedence"] for source in found] == [6, 5]


# --- what is refused ---


@pytest.mark.parametrize(
    "kind", ["service-defaults", "service-router", "service-splitter", "service-resolver", "service-intentions"]
)
def test_most_kinds_need_a_name(kind: str) -> None:
    assert fault(kind, "") == "Name is required"


def test_metadata_of_any_kind_is_bounded() -> None:
    meta = {"k" * 129: "v", "k": "v" * 513}
    for kind in KINDS:
        assert fault(kind, Meta=meta) == (
            "2 errors occurred:\n"
            f'\t* Meta key "{"k" * 129}" exceeds maximum length 128\n'
            '\t* Meta value for key "k" exceeds maximum length 512\n\n'
        )
    many = {str(number): "" for number in range(65)}
    assert fault("mesh", Meta=many) == "1 error occurred:\n\t* Meta exceeds maximum element count 64\n\n"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, ""),
        ({"Overrides": [{"Protocol": "x"}]}, "error in upstream override for : Name is required"),
        ({"Overrides": [{"Name": "*"}]}, "error in upstream override for *: Wildcard name is not supported"),
        ({"Defaults": {"Name": "a"}}, "error in upstream defaults: Name must be empty"),
        (
            {"Defaults": {"Limits": {"MaxConnections": -1, "MaxPendingRequests": -1}}},
            "error in upstream defaults: 1 error occurred:\n\t* max connections cannot be negative\n\n",
        ),
        (
            {"Defaults": {"PassiveHealthCheck": {"Interval": "-1s"}}},
            "error in upstream defaults: 1 error occurred:\n\t* passive health check interval cannot be negative\n\n",
        ),
    ],
)
def test_service_defaults(fields: dict[str, Any], text: str) -> None:
    expected = f"1 error occurred:\n\t* {text}\n\n" if text else ""
    assert fault("service-defaults", UpstreamConfig=fields) == expected
    assert fault("service-defaults", "*") == ("service-defaults name must be the name of a service, and not a wildcard")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({}, ""),
        (route({"PathPrefix": "/a"}, PrefixRewrite="/"), ""),
        (route({"PathExact": "a"}), "PathExact doesn't start with '/': \"a\""),
        (route({"PathPrefix": "a"}), "PathPrefix doesn't start with '/': \"a\""),
        (
            route({"PathPrefix": "/a", "PathRegex": "a"}),
            "should only contain at most one of PathExact, PathPrefix, or PathRegex",
        ),
        (route({"Header": [{"Exact": "a"}]}), "Header[0] missing required Name field"),
        (
            route({"Header": [{"Name": "h", "Present": True}, {"Name": "h", "Exact": "a", "Regex": "b"}]}),
            "Header[1] should only contain one of Present, Exact, Prefix, Suffix, or Regex",
        ),
        (route({"QueryParam": [{"Exact": "a"}]}), "QueryParam[0] missing required Name field"),
        (
            route({"QueryParam": [{"Name": "q"}]}),
            "QueryParam[0] should only contain one of Present, Exact, or Regex",
        ),
        (route({"Methods": ["odd"]}), 'Methods contains an invalid method "ODD"'),
        (route({"Methods": ["get", "GET"]}), 'Methods contains "GET" more than once'),
        (
            route({"PathRegex": "a"}, PrefixRewrite="/"),
            "cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix",
        ),
    ],
)
def test_routers(found: dict[str, Any], text: str) -> None:
    assert fault("service-router", Routes=[{}, found]) == (f"Route[1] {text}" if text else "")


@pytest.mark.parametrize(
    ("splits", "text"),
    [
        ([{"Weight": 100}], ""),
        ([{"Weight": 50.01, "ServiceSubset": "a"}, {"Weight": 49.99}], ""),
        ([], "no splits configured"),
        ([{"Weight": 90}], "the sum of all split weights must be 100, not 90.000000"),
        (
            [{"Weight": 50, "Service": "web"}, {"Weight": 50}],
            'split destination occurs more than once: service="web", subset="", namespace=""',
        ),
    ],
)
def test_splitters(splits: list[dict[str, Any]], text: str) -> None:
    assert fault("service-splitter", Splits=splits) == text


V1 = {"v1": {"Filter": "Service.Meta.v == 1"}}
HASHED = {"Policy": "maglev"}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, ""),
        ({"Subsets": V1, "DefaultSubset": "v1", "Failover": {"*": {"Datacenters": ["dc2"]}}}, ""),
        ({"DefaultSubset": "v1"}, 'DefaultSubset "v1" is not a valid subset'),
        ({"Subsets": {"": {}}}, "Subset defined with empty name"),
        (
            {"Subsets": {"V1": {}}},
            (
                'Subset "V1" is invalid: must be 63 characters or fewer, begin or end with lower case alphanumeric '
                "characters, and contain lower case alphanumeric characters or '-' in between"
            ),
        ),
        (
            {"Subsets": {"v" * 64: {}}},
            f'Subset "{"v" * 64}" is invalid: must be non-empty and 63 characters or fewer',
        ),
        ({"Redirect": {}}, "Redirect is empty"),
        ({"Redirect": {"ServiceSubset": "v1"}}, "Redirect.ServiceSubset defined without Redirect.Service"),
        ({"Redirect": {"Namespace": "n"}}, "Redirect.Namespace defined without Redirect.Service"),
        (
            {"Redirect": {"Service": "web", "ServiceSubset": "v2"}},
            'Redirect.ServiceSubset "v2" is not a valid subset of "web"',
        ),
        (
            {"Redirect": {"Service": "a"}, "Failover": {"*": {"Service": "b"}}},
            "Redirect and Failover cannot both be set",
        ),
        ({"Failover": {"v2": {"Service": "b"}}}, 'Bad Failover["v2"]: not a valid subset'),
        (
            {"Failover": {"*": {}}},
            'Bad Failover["*"] one of Service, ServiceSubset, Namespace, or Datacenters is required',
        ),
        (
            {"Failover": {"*": {"ServiceSubset": "v2"}}},
            'Bad Failover["*"].ServiceSubset "v2" is not a valid subset of ""',
        ),
        ({"Failover": {"*": {"Datacenters": [""]}}}, 'Bad Failover["*"].Datacenters: found empty datacenter'),
        ({"ConnectTimeout": "-1s"}, "Bad ConnectTimeout '-1s', must be >= 0"),
        ({"LoadBalancer": {"Policy": "odd"}}, 'Bad LoadBalancer policy: "odd" is not supported'),
        (
            {"LoadBalancer": {"Policy": "random", "RingHashConfig": {}}},
            (
                "Bad LoadBalancer configuration. RingHashConfig specified for incompatible load balancing policy "
                '"random"'
            ),
        ),
        (
            {"LoadBalancer": {"Policy": "random", "LeastRequestConfig": {}}},
            (
                "Bad LoadBalancer configuration. LeastRequestConfig specified for incompatible load balancing policy "
                '"random"'
            ),
        ),
        (
            {"LoadBalancer": {"Policy": "random", "HashPolicies": [{"SourceIP": True}]}},
            'Bad LoadBalancer configuration: HashPolicies specified for non-hash-based Policy: "random"',
        ),
    ],
)
def test_resolvers(fields: dict[str, Any], text: str) -> None:
    assert fault("service-resolver", **fields) == text


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ({"SourceIP": True, "Terminal": True}, ""),
        ({"Field": "cookie", "FieldValue": "c", "CookieConfig": {"TTL": "3s"}}, ""),
        ({"Field": "odd"}, '"odd" is not a supported field'),
        (
            {"Field": "header", "SourceIP": True},
            'A single hash policy cannot hash both a source address and a "header"',
        ),
        ({"FieldValue": "x", "SourceIP": True}, "A FieldValue cannot be specified when hashing SourceIP"),
        ({"Field": "header"}, 'Field "header" was specified without a FieldValue'),
        ({"FieldValue": "x"}, "FieldValue requires a Field to apply to"),
        ({"Field": "header", "FieldValue": "x", "CookieConfig": {}}, 'cookie_config provided for "header"'),
        (
            {"Field": "cookie", "FieldValue": "c", "CookieConfig": {"TTL": 1, "Session": True}},
            "a session cookie cannot have an associated TTL",
        ),
    ],
)
def test_hash_policies(policy: dict[str, Any], text: str) -> None:
    balancer = {"Policy": "ring_hash", "HashPolicies": [policy]}
    expected = f"Bad LoadBalancer HashPolicy[0]: {text}" if text else ""
    assert fault("service-resolver", LoadBalancer=balancer) == expected


def test_a_subsets_filter_is_parsed() -> None:
    text = fault("service-resolver", Subsets={"v1": {"Filter": "Service.Meta =="}})
    assert text.startswith('Filter for subset "v1" is not a valid expression: ')


@pytest.mark.parametrize(
    ("listeners", "text"),
    [
        ([listener({"Name": "a", "Hosts": ["*.example.com", "*"]}, {"Name": "*"})], ""),
        ([listener({"Name": "a"}), listener({"Name": "a"})], "port 80 declared on two listeners"),
        (
            [listener({"Name": "a"}, protocol="udp")],
            "protocol must be 'tcp', 'http', 'http2', or 'grpc'. 'udp' is an unsupported protocol",
        ),
        ([listener()], "No service declared for listener with port 80"),
        (
            [listener({"Name": "a"}, {"Name": "b"}, protocol="tcp")],
            "Multiple services per listener are only supported for protocol = 'http' (listener on port 80)",
        ),
        (
            [listener({"Name": "*"}, protocol="tcp")],
            "Wildcard service name is only valid for protocol = 'http' (listener on port 80)",
        ),
        (
            [listener({"Name": "a", "Hosts": ["b"]}, protocol="tcp")],
            "Associating hosts to a service is not supported for the tcp protocol (listener on port 80)",
        ),
        ([listener({"Hosts": ["b"]})], "Service name cannot be blank (listener on port 80)"),
        (
            [listener({"Name": "*", "Hosts": ["b"]})],
            "Associating hosts to a wildcard service is not supported (listener on port 80)",
        ),
        (
            [listener({"Name": "a"}, {"Name": "a"})],
            "Service a cannot be added multiple times (listener on port 80)",
        ),
        (
            [listener({"Name": "a", "Hosts": ["h", "h"]})],
            "Hosts must be unique within a specific listener (listener on port 80)",
        ),
        ([listener({"Name": "a", "Hosts": ["a..b"]})], 'Host "a..b" must be a valid DNS hostname'),
        (
            [listener({"Name": "a", "Hosts": ["a.*.b"]})],
            'Host "a.*.b" is not valid, a wildcard specifier is only allowed as the leftmost label',
        ),
    ],
)
def test_ingress_gateways(listeners: list[dict[str, Any]], text: str) -> None:
    assert fault("ingress-gateway", Listeners=listeners) == text


def test_any_host_is_none_for_certificates() -> None:
    listeners = [listener({"Name": "a", "Hosts": ["*"]})]
    assert fault("ingress-gateway", TLS={"Enabled": True}, Listeners=listeners).startswith("Host '*' is not allowed")


@pytest.mark.parametrize(
    ("services", "text"),
    [
        ([{"Name": "a", "CAFile": "x"}, {"Name": "*"}], ""),
        ([{}], "Service name cannot be blank."),
        ([{"Name": "a"}, {"Name": "a"}], 'Service "a" was specified more than once within a namespace'),
        (
            [{"Name": "a", "CertFile": "x", "KeyFile": "y"}],
            'Service "a" must have a CertFile, CAFile, and KeyFile specified for TLS origination',
        ),
    ],
)
def test_terminating_gateways(services: list[dict[str, Any]], text: str) -> None:
    assert fault("terminating-gateway", Services=services) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"Name": "a", "Action": "allow"}, ""),
        (http_source(PathPrefix="/", Methods=["get"]), ""),
        ({}, ".Name is required"),
        ({"Name": "a*"}, ".Name: wildcard character '*' cannot be used with partial values"),
        ({"Name": "a", "Description": "d" * 513}, ".Description exceeds maximum length 512"),
        ({"Name": "a", "LegacyMeta": {"k": "v"}}, ".LegacyMeta must be omitted"),
        ({"Name": "a"}, ".Action must be set to 'allow' or 'deny'"),
        ({**http_source(PathExact="/"), "Action": "deny"}, ".Action must be omitted if Permissions are specified"),
        ({"Name": "a", "Action": "deny", "Type": "odd"}, ".Type must be set to 'consul'"),
        ({"Name": "a", "Permissions": [{}]}, ".Permissions[0].Action must be set to 'allow' or 'deny'"),
        ({"Name": "a", "Permissions": [{"Action": "deny"}]}, ".Permissions[0].HTTP is required"),
        (http_source(), ".Permissions[0].HTTP should not be empty"),
        (http_source(PathExact="a"), ".Permissions[0].HTTP.PathExact doesn't start with '/': \"a\""),
        (
            http_source(PathExact="/a", PathPrefix="/a"),
            ".Permissions[0].HTTP should only contain at most one of PathExact, PathPrefix, or PathRegex",
        ),
        (http_source(Header=[{}]), ".Permissions[0].HTTP.Header[0] missing required Name field"),
        (http_source(Methods=["odd"]), '.Permissions[0].HTTP.Methods contains an invalid method "ODD"'),
        ({"Name": "first", "Action": "deny"}, ' defines "first" more than once'),
    ],
)
def test_intentions(source: dict[str, Any], text: str) -> None:
    sources = [{"Name": "first", "Action": "allow"}, source]
    assert fault("service-intentions", Sources=sources) == (f"Sources[1]{text}" if text else "")


def test_intentions_for_any_destination_and_for_none() -> None:
    assert fault("service-intentions", Sources=[]) == "At least one source is required"
    assert fault("service-intentions", "a*", Sources=[{"Name": "a", "Action": "deny"}]).startswith("Name: wildcard")
    assert fault("service-intentions", "*", Sources=[http_source(PathExact="/")]) == (
        "Sources[0].Permissions cannot be specified on intentions with wildcarded destinations"
    )


names = st.sampled_from(
    sorted({field.name for fields in KINDS.values() for field in fields.fields} | {"Name", "Service", "HTTP", "Weight"})
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=120)
@given(kind=st.sampled_from(sorted(KINDS)), fields=st.dictionaries(names, values, max_size=4))
def test_whatever_is_asked_is_kept_or_refused(kind: str, fields: dict[str, Any]) -> None:
    try:
        found = normalise(decode_entry({**fields, "Kind": kind}))
        validate(found)
    except RequestError:
        return
    assert normalise(found) == found
