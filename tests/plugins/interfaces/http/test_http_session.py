"""`/v1/session`: what is made of a body, what is asked of the agent, and how its replies are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.methods import (
    SESSION_APPLY,
    SESSION_GET,
    SESSION_LIST,
    SESSION_NODE_SESSIONS,
    SESSION_RENEW,
    Method,
)
from consul_kernel.structs.session import IndexedSessions, ServiceCheck, Session, SessionOp

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

SECOND = 1_000_000_000
READS: tuple[Method[Any, IndexedSessions], ...] = (SESSION_GET, SESSION_LIST, SESSION_NODE_SESSIONS)
SERF = ["serfHealth"]


async def created(site: Site, body: Any) -> Session:
    """The session that the agent is asked for."""
    site.agent.answer(SESSION_APPLY, "an-id")
    got = await site.put("/v1/session/create", body)
    assert (got.status, got.text) == (200, '{"ID":"an-id"}')
    request = site.agent.requests(SESSION_APPLY)[-1]
    assert (request.op, request.datacenter) == (SessionOp.CREATE, "dc1")
    return request.session


@pytest.mark.parametrize(
    "body", [b"", "{}", "null", '{"Nmae": "x"}', '{"LockDelay": null, "Node": null, "Checks": ["serfHealth"]}']
)
async def test_the_defaults(site: Site, body: Any) -> None:
    assert await created(site, body) == Session(
        node="node1", lock_delay=15 * SECOND, behavior="release", node_checks=SERF
    )


async def test_every_field_in_any_case(site: Site) -> None:
    body = (
        '{"id": "mine", "NAME": "n", "node": "other", "lockdelay": "20s", "behavior": "delete", "ttl": "30s",'
        ' "nodechecks": ["a"], "servicechecks": [{"id": "b", "namespace": "", "odd": 1}], "createindex": 5}'
    )
    assert await created(site, body) == Session(
        name="n",
        node="other",
        lock_delay=20 * SECOND,
        behavior="delete",
        ttl="30s",
        node_checks=["a"],
        service_checks=[ServiceCheck(id="b")],
    )


@pytest.mark.parametrize(
    ("given", "nanoseconds"),
    [
        ('"0s"', 0),
        ("0", 0),
        ("15", 15 * SECOND),
        ("999", 999 * SECOND),
        ("1000", 1000),
        ("2.5e9", 2_500_000_000),
        ('"61s"', 61 * SECOND),
        ('"-1ns"', -SECOND),
        ("true", 0),
        ("[]", 0),
    ],
)
async def test_a_lock_delay_is_text_or_a_number_of_nanoseconds_or_seconds(
    site: Site, given: str, nanoseconds: int
) -> None:
    assert (await created(site, f'{{"LockDelay": {given}}}')).lock_delay == nanoseconds


@pytest.mark.parametrize(
    ("body", "node_checks", "checks"),
    [
        ('{"Checks": []}', [], None),
        ('{"Checks": null}', [], None),
        ('{"NodeChecks": []}', [], None),
        ('{"NodeChecks": ["a"]}', ["a"], None),
        ('{"Checks": ["a"]}', SERF, ["a"]),
        ('{"Checks": ["a"], "NodeChecks": []}', [], None),
        ('{"Checks": ["serfHealth"], "NodeChecks": ["a"]}', ["a"], None),
    ],
)
async def test_the_old_and_the_new_name_of_checks(
    site: Site, body: str, node_checks: list[str], checks: list[str] | None
) -> None:
    session = await created(site, body)
    assert (session.node_checks, session.checks or None) == (node_checks, checks)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        ("[]", "json: cannot unmarshal array into Go value of type structs.Session"),
        ('"text"', "json: cannot unmarshal string into Go value of type structs.Session"),
        ('{"Name": 5}', "json: cannot unmarshal number into Go struct field Session.Name of type string"),
        ('{"TTL": 15}', "json: cannot unmarshal number into Go struct field Session.TTL of type string"),
        ('{"LockDelay": "soon"}', 'time: invalid duration "soon"'),
        ('{"LockDelay": 1e999}', "json: cannot unmarshal number 1e999 into Go value of type float64"),
        ('{"ServiceChecks": [5]}', "json: cannot unmarshal number into Go struct field"),
    ],
)
async def test_bodies_that_are_refused(site: Site, body: str, text: str) -> None:
    got = await site.put("/v1/session/create", body)
    assert got.status == 400
    assert got.text.startswith(f"Request decode failed: {text}")
    assert site.agent.requests(SESSION_APPLY) == []


SESSION = Session(
    id="s1", name="n", node="node1", lock_delay=15 * SECOND, behavior="release", node_checks=SERF, create_index=5,
    modify_index=5,
)  # fmt: skip
SHOWN = (
    '{"ID":"s1","Name":"n","Node":"node1","LockDelay":15000000000,"Behavior":"release","TTL":"",'
    '"NodeChecks":["serfHealth"],"ServiceChecks":null,"CreateIndex":5,"ModifyIndex":5}'
)


async def test_sessions_are_shown_in_gos_order_of_fields(site: Site) -> None:
    reply = IndexedSessions(index=7, known_leader=True, sessions=[SESSION])
    for method in READS:
        site.agent.answer(method, reply)
    for target in ("/v1/session/info/s1", "/v1/session/list", "/v1/session/node/node1"):
        got = await site.get(f"{target}?index=3&wait=5s&stale&dc=dc2")
        assert (got.text, got.headers["X-Consul-Index"]) == (f"[{SHOWN}]", "7")
        assert "X-Consul-Effective-Consistency" not in got.headers
    for method in READS:
        request = site.agent.requests(method)[0]
        assert (request.datacenter, request.min_query_index, request.allow_stale) == ("dc2", 3, True)
        assert request.max_query_time == 5 * SECOND
    assert site.agent.requests(SESSION_GET)[0].session_id == "s1"
    assert site.agent.requests(SESSION_NODE_SESSIONS)[0].node == "node1"


async def test_old_checks_and_service_checks_are_shown_where_there_are_any(site: Site) -> None:
    session = Session(id="s1", checks=["a"], service_checks=[ServiceCheck(id="b")])
    site.agent.answer(SESSION_GET, IndexedSessions(index=7, sessions=[session]))
    text = (await site.get("/v1/session/info/s1")).text
    assert '"NodeChecks":null,"ServiceChecks":[{"ID":"b","Namespace":""}],"Checks":["a"],"CreateIndex"' in text


async def test_no_session_is_an_empty_list(site: Site) -> None:
    site.agent.answer(SESSION_GET, IndexedSessions(index=7))
    assert (await site.get("/v1/session/info/s1")).text == "[]"


async def test_destroying_answers_true(site: Site) -> None:
    site.agent.answer(SESSION_APPLY, "")
    assert (await site.put("/v1/session/destroy/s1?token=t")).text == "true"
    request = site.agent.requests(SESSION_APPLY)[0]
    assert (request.op, request.session.id, request.token) == (SessionOp.DESTROY, "s1", "t")


async def test_renewing_answers_the_session_without_its_index(site: Site) -> None:
    site.agent.answer(SESSION_RENEW, IndexedSessions(index=7, sessions=[SESSION]))
    got = await site.put("/v1/session/renew/s1")
    assert got.text == f"[{SHOWN}]"
    assert "X-Consul-Index" not in got.headers
    site.agent.answer(SESSION_RENEW, IndexedSessions(index=7))
    gone = await site.put("/v1/session/renew/s1")
    assert (gone.status, gone.text) == (404, "Session id 's1' not found")


@pytest.mark.parametrize(
    ("method", "target", "text"),
    [
        ("PUT", "/v1/session/destroy/", "Missing session"),
        ("PUT", "/v1/session/renew/", "Missing session"),
        ("GET", "/v1/session/info/", "Missing session"),
        ("GET", "/v1/session/node/", "Missing node name"),
        ("GET", "/v1/session/list?stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
    ],
)
async def test_requests_that_lack_something(site: Site, method: str, target: str, text: str) -> None:
    got = await site.send(method, target)
    assert (got.status, got.text) == (400, text)
    assert "X-Consul-Index" not in got.headers


async def test_reads_that_fail_have_the_headers_of_a_read(site: Site) -> None:
    site.agent.answer(SESSION_GET, RpcError("No path to datacenter"))
    got = await site.get("/v1/session/info/s1?dc=nowhere")
    assert (got.status, got.text, got.headers["X-Consul-Index"]) == (500, "No path to datacenter", "1")
    assert got.headers["X-Consul-Knownleader"] == "false"
