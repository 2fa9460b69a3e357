"""What watches ask for, what they refuse, and what they make of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from consul_kernel.structs.watch import HttpHandlerConfig, WatchDefinition
from consul_kernel.watching.plan import Plan, faults, handler_faults
from consul_kernel.watching.results import encode_result


@pytest.mark.parametrize(
    ("watch", "path", "query"),
    [
        (WatchDefinition(type="key", key="/a b"), "/v1/kv/a b", []),
        (WatchDefinition(type="keyprefix", prefix="a/"), "/v1/kv/a/", [("recurse", "")]),
        (WatchDefinition(type="services", filter="x in y"), "/v1/catalog/services", [("filter", "x in y")]),
        (WatchDefinition(type="nodes"), "/v1/catalog/nodes", []),
        (
            WatchDefinition(type="service", service="web", tag=["a", "b"], passingonly=True),
            "/v1/health/service/web",
            [("tag", "a"), ("tag", "b"), ("passing", "1")],
        ),
        (WatchDefinition(type="service", service="web", tag="a"), "/v1/health/service/web", [("tag", "a")]),
        (WatchDefinition(type="checks"), "/v1/health/state/any", []),
        (WatchDefinition(type="checks", state="critical"), "/v1/health/state/critical", []),
        (WatchDefinition(type="checks", service="web"), "/v1/health/checks/web", []),
        (WatchDefinition(type="event"), "/v1/event/list", []),
        (WatchDefinition(type="event", name="deploy"), "/v1/event/list", [("name", "deploy")]),
    ],
)
def test_requests(watch: WatchDefinition, path: str, query: list[tuple[str, str]]) -> None:
    assert list(faults(watch)) == []
    plan = Plan(watch)
    assert plan.path == path
    assert plan.query(0, 5000) == query
    assert plan.query(7, 5000) == [*query, ("index", "7"), ("wait", "5000ms")]


@pytest.mark.parametrize(
    ("watch", "texts"),
    [
        (WatchDefinition(), ["Watch type must be specified"]),
        (WatchDefinition(type="odd"), ["Unsupported watch type: odd"]),
        (WatchDefinition(type="key"), ["Must specify a single key to watch"]),
        (WatchDefinition(type="keyprefix"), ["Must specify a single prefix to watch"]),
        (WatchDefinition(type="service"), ["Must specify a single service to watch"]),
        (WatchDefinition(type="checks", service="a", state="any"), ["Cannot specify service and state"]),
        (WatchDefinition(type="nodes", key="a", stale=True, name="x"), ["Invalid parameters: [key name]"]),
        (WatchDefinition(type="event", stale=True), ["Invalid parameters: [stale]"]),
        (WatchDefinition(type="service", service="a", tag=[1]), ["Expecting tag to be a string or []string"]),
    ],
)
def test_what_cannot_be_watched(watch: WatchDefinition, texts: list[str]) -> None:
    assert list(faults(watch)) == texts


HTTP = HttpHandlerConfig(path="http://127.0.0.1/")


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({}, ["Must define a watch handler"]),
        ({"handler": "a"}, []),
        ({"args": ["a"], "handler_type": "script"}, []),
        ({"handler_type": "http", "http_handler_config": HTTP}, []),
        ({"handler": "a", "args": ["b"]}, ["Only one watch handler allowed"]),
        ({"args": ["b"], "handler_type": "http", "http_handler_config": HTTP}, ["Only one watch handler allowed"]),
        ({"handler_type": "http"}, ["Handler type 'http' requires 'http_handler_config' to be set"]),
        (
            {"handler_type": "http", "http_handler_config": HttpHandlerConfig()},
            ["Failed to parse 'http_handler_config': Requires 'path' to be set"],
        ),
        ({"args": ["b"], "http_handler_config": HTTP}, ["Invalid parameters: [http_handler_config]"]),
        ({"handler_type": "odd", "args": ["b"]}, ["Handler type 'odd' not recognized"]),
        ({"type": "connect_leaf"}, ["Watch type connect_leaf is not allowed in agent config"]),
    ],
)
def test_what_agents_refuse(changes: dict[str, Any], texts: list[str]) -> None:
    assert list(handler_faults(WatchDefinition(**{"type": "nodes", **changes}))) == texts


KEY: dict[str, Any] = {
    "LockIndex": 0,
    "Key": "a",
    "Flags": 1,
    "Value": "PHg+",
    "CreateIndex": 2,
    "ModifyIndex": 3,
}
KEY_SHOWN = '{"Key":"a","CreateIndex":2,"ModifyIndex":3,"LockIndex":0,"Flags":1,"Value":"PHg+","Session":""}'


@pytest.mark.parametrize(
    ("watch", "status", "answer", "shown"),
    [
        (WatchDefinition(type="key", key="a"), 200, [KEY], KEY_SHOWN),
        (WatchDefinition(type="key", key="a"), 404, None, "null"),
        (WatchDefinition(type="keyprefix", prefix="a"), 200, [KEY], f"[{KEY_SHOWN}]"),
        (WatchDefinition(type="keyprefix", prefix="a"), 404, None, "null"),
        (WatchDefinition(type="services"), 200, {"b": ["<"], "a": []}, '{"a":[],"b":["\\u003c"]}'),
        (
            WatchDefinition(type="event"),
            200,
            [{"ID": "i", "Name": "n", "Payload": None, "Version": 1, "LTime": 4}],
            (
                '[{"ID":"i","Name":"n","Payload":null,"NodeFilter":"","ServiceFilter":"","TagFilter":"","Version":1,'
                '"LTime":4}]'
            ),
        ),
    ],
)
def test_handlers_get_what_the_go_client_would_write(
    watch: WatchDefinition, status: int, answer: object, shown: str
) -> None:
    body = b"" if answer is None else json.dumps(answer).encode()
    assert encode_result(Plan(watch).read(status, body)) == shown.encode() + b"\n"


PROXY = {"Mode": "", "MeshGateway": {}, "Expose": {}}


def test_services_with_their_health() -> None:
    node = {"ID": "", "Node": "n", "Address": "10.0.0.1", "Datacenter": "dc1", "CreateIndex": 1, "ModifyIndex": 1}
    service = {"ID": "w", "Service": "web", "Tags": ["a"], "Weights": {"Passing": 1, "Warning": 1}, "Proxy": PROXY}
    check = {"Node": "n", "CheckID": "c", "Status": "passing", "ExposedPort": 0, "Definition": {"Interval": "10s"}}
    body = json.dumps([{"Node": node, "Service": service, "Checks": [check]}]).encode()
    (shown,) = json.loads(encode_result(Plan(WatchDefinition(type="service", service="web")).read(200, body)))
    assert shown["Node"] == {**node, "TaggedAddresses": None, "Meta": None}
    assert (shown["Service"]["Port"], shown["Service"]["Tags"], "Kind" in shown["Service"]) == (0, ["a"], False)
    assert shown["Service"]["Proxy"] == {"MeshGateway": {}, "Expose": {}}
    assert "ExposedPort" not in shown["Checks"][0]
    assert shown["Checks"][0]["Definition"]["Interval"] == "10s"
    assert shown["Checks"][0]["Definition"]["Timeout"] == "0s"


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1}', b"[1]"])
def test_what_is_no_answer_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Plan(WatchDefinition(type="nodes")).read(200, body)
