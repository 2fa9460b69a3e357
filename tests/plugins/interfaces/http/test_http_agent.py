"""`/v1/agent`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from consul_kernel.contracts.errors import AgentError, MembershipError, RequestError
from consul_kernel.structs.check import CheckDefinition, HealthCheck
from consul_kernel.structs.duration import SECOND
from consul_kernel.structs.service import NodeService

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

SERVICE_JSON = (
    '{"ID":"s1","Service":"s","Tags":[],"Meta":{},"Port":0,"Address":"","Weights":{"Passing":1,"Warning":1},'
    '"EnableTagOverride":false,%s"Datacenter":"dc1"}'
)


def add_service(site: Site, service_id: str = "s1", **fields: object) -> None:
    site.agent.local.services_by_id[service_id] = NodeService(id=service_id, service="s", **fields)  # type: ignore[arg-type]


def add_check(site: Site, check_id: str, status: str, service_id: str = "") -> None:
    check = HealthCheck(node="node1", check_id=check_id, name=check_id, status=status, service_id=service_id)
    site.agent.local.checks_by_id[check_id] = check


async def test_self_is_what_the_agent_says(site: Site) -> None:
    site.agent.description = {"Config": {"NodeName": "<n>", "Server": True}, "Meta": {}}
    got = await site.get("/v1/agent/self")
    assert got.text == '{"Config":{"NodeName":"\\u003cn\\u003e","Server":true},"Meta":{}}'


async def test_members(site: Site) -> None:
    got = await site.get("/v1/agent/members?segment=_all")
    assert got.json[0] == {
        "Name": "node1",
        "Addr": "127.0.0.1",
        "Port": 8301,
        "Tags": dict(site.agent.local_member().tags),
        "Status": 1,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    }


async def test_members_elsewhere(site: Site) -> None:
    assert (await site.get("/v1/agent/members?wan=1")).text == "null"
    site.agent.wan_members = []
    assert (await site.get("/v1/agent/members?wan=1")).text == "[]"
    got = await site.get("/v1/agent/members?segment=none")
    assert (got.status, got.text) == (500, "Network segments are not supported in this version of Consul")
    got = await site.get("/v1/agent/members?segment=none&wan=1")
    assert (got.status, got.text) == (400, "Cannot provide a segment with wan=true")


async def test_join(site: Site) -> None:
    got = await site.put("/v1/agent/join/10.0.0.1:8301?wan=1")
    assert (got.status, got.body) == (200, b"")
    assert "Content-Type" not in got.headers
    assert site.agent.joined == [(("10.0.0.1:8301",), True)]
    site.agent.join_refusal = MembershipError("1 error occurred:\n\t* Failed to join")
    got = await site.put("/v1/agent/join/10.0.0.1")
    assert (got.status, got.text) == (500, "1 error occurred:\n\t* Failed to join")


async def test_leave(site: Site) -> None:
    assert (await site.put("/v1/agent/leave")).status == 200
    assert site.agent.has_left


async def test_leaving_closes_the_interface_and_is_answered_all_the_same(site: Site) -> None:
    done = asyncio.Event()

    async def leave() -> None:
        await site.interface.aclose()
        done.set()

    site.agent.leave = leave  # type: ignore[method-assign]
    assert (await asyncio.wait_for(site.put("/v1/agent/leave"), 5)).status == 200
    await asyncio.wait_for(done.wait(), 5)


async def test_client_that_goes_away_does_not_stop_the_leaving(site: Site) -> None:
    begun, proceed, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def leave() -> None:
        begun.set()
        await proceed.wait()
        done.set()

    site.agent.leave = leave  # type: ignore[method-assign]
    _, writer = await site.connect()
    writer.write(b"PUT /v1/agent/leave HTTP/1.1\r\nHost: t\r\n\r\n")
    await asyncio.wait_for(begun.wait(), 5)
    writer.close()
    await writer.wait_closed()
    assert (await site.get("/")).status == 200
    proceed.set()
    await asyncio.wait_for(done.wait(), 5)


async def test_failed_leaving(site: Site) -> None:
    async def leave() -> None:
        raise MembershipError("nobody heard it")

    site.agent.leave = leave  # type: ignore[method-assign]
    got = await site.put("/v1/agent/leave")
    assert (got.status, got.text) == (500, "nobody heard it")


async def test_force_leave(site: Site) -> None:
    assert (await site.put("/v1/agent/force-leave/node1?prune")).status == 200
    assert site.agent.forced == [("node1", True)]
    got = await site.put("/v1/agent/force-leave/none")
    assert (got.status, got.text) == (500, "agent: No node found with name 'none'")


async def test_services(site: Site) -> None:
    add_service(site)
    assert (await site.get("/v1/agent/services")).text == '{"s1":%s}' % (SERVICE_JSON % "")


async def test_one_service_has_a_content_hash(site: Site) -> None:
    add_service(site)
    first = await site.get("/v1/agent/service/s1")
    digest = first.headers["X-Consul-Contenthash"]
    assert first.text == SERVICE_JSON % f'"ContentHash":"{digest}",'
    assert (await site.get("/v1/agent/service/s1")).headers["X-Consul-Contenthash"] == digest
    add_service(site, port=1)
    assert (await site.get("/v1/agent/service/s1")).headers["X-Consul-Contenthash"] != digest


async def test_unknown_service(site: Site) -> None:
    got = await site.get("/v1/agent/service/none")
    assert (got.status, got.text) == (404, "unknown service ID: none")


async def test_register_service(site: Site) -> None:
    body = {"Name": "web", "enable_tag_override": True, "Check": {"TTL": "15s"}}
    got = await site.put("/v1/agent/service/register?replace-existing-checks=true", body)
    assert (got.status, got.body) == (200, b"")
    [definition] = site.agent.local.service_definitions
    assert (definition.name, definition.enable_tag_override) == ("web", True)
    assert definition.check is not None
    assert definition.check.ttl == 15 * SECOND
    assert site.agent.local.replaced_checks == [True]


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("service", "", "Request decode failed: EOF"),
        ("service", "{}", "Missing service name"),
        ("service", '{"Name":"s","Bogus":1}', 'Request decode failed: json: unknown field "Bogus"'),
        ("check", "{}", "Missing check name"),
        ("check", '{"Name":"c","TTL":"10s","Status":"odd"}', "Bad check status"),
        ("check", '{"Name":"c","CheckID":"c"}', 'Request decode failed: json: unknown field "CheckID"'),
        ("check", '{"Name":"c","TTL":"x"}', 'Request decode failed: time: invalid duration "x"'),
    ],
)
async def test_bad_definitions(site: Site, path: str, body: str, text: str) -> None:
    got = await site.put(f"/v1/agent/{path}/register", body)
    assert (got.status, got.text) == (400, text)


@pytest.mark.parametrize(
    ("error", "status"),
    [(RequestError("Invalid check: TTL must be > 0 for TTL checks"), 400), (AgentError("Scripts are disabled"), 500)],
)
@pytest.mark.parametrize("path", ["service", "check"])
async def test_refused_definitions(site: Site, path: str, error: Exception, status: int) -> None:
    site.agent.local.refusal = error
    got = await site.put(f"/v1/agent/{path}/register", {"Name": "x"})
    assert (got.status, got.text) == (status, str(error))


@pytest.mark.parametrize("kind", ["service", "check"])
async def test_deregister(site: Site, kind: str) -> None:
    add_service(site, "a/b")
    add_check(site, "a/b", "passing")
    assert (await site.put(f"/v1/agent/{kind}/deregister/a%2Fb")).status == 200
    assert (await site.put(f"/v1/agent/{kind}/deregister/none")).status == 200
    left = site.agent.local.services_by_id if kind == "service" else site.agent.local.checks_by_id
    assert left == {}
    got = await site.put(f"/v1/agent/{kind}/deregister/")
    assert (got.status, got.text) == (500, f"{kind.capitalize()}ID missing")


async def test_checks(site: Site) -> None:
    add_check(site, "c", "passing")
    got = await site.get("/v1/agent/checks")
    assert got.json["c"]["Status"] == "passing"
    assert got.json["c"]["ServiceTags"] == []


async def test_register_check(site: Site) -> None:
    got = await site.put("/v1/agent/check/register", {"Name": "c", "ttl": "10s", "Notes": "n"})
    assert (got.status, got.body) == (200, b"")
    [definition] = site.agent.local.check_definitions
    assert (definition.name, definition.ttl, definition.notes) == ("c", 10 * SECOND, "n")


async def test_keys_of_check_plugins_are_claimed_by_the_agent(site: Site) -> None:
    def claim(definition: CheckDefinition, keys: Mapping[str, Any]) -> CheckDefinition:
        if set(keys) != {"AcmePing"}:
            raise RequestError("json: unknown field")
        return replace(definition, kind="acme_ping", options={"acme_ping": keys["AcmePing"]})

    site.agent.local.claim = claim
    check = {"Name": "c", "AcmePing": "a:1", "Interval": "1s"}
    assert (await site.put("/v1/agent/check/register", check)).status == 200
    assert (await site.put("/v1/agent/service/register", {"Name": "s", "Check": check})).status == 200
    [alone] = site.agent.local.check_definitions
    [service] = site.agent.local.service_definitions
    assert service.check is not None
    for definition in (alone, service.check):
        assert (definition.kind, definition.options) == ("acme_ping", {"acme_ping": "a:1"})
    got = await site.put("/v1/agent/check/register", {**check, "Bogus": 1})
    assert (got.status, got.text) == (400, "Request decode failed: json: unknown field")


@pytest.mark.parametrize(("verb", "status"), [("pass", "passing"), ("warn", "warning"), ("fail", "critical")])
async def test_ttl_marks(site: Site, verb: str, status: str) -> None:
    add_check(site, "c", "critical")
    assert (await site.put(f"/v1/agent/check/{verb}/c?note=odd+thing")).status == 200
    check = site.agent.local.checks_by_id["c"]
    assert (check.status, check.output) == (status, "odd thing")
    got = await site.put(f"/v1/agent/check/{verb}/")
    assert (got.status, got.text) == (500, 'CheckID "" does not have associated TTL')


async def test_ttl_update(site: Site) -> None:
    add_check(site, "c", "critical")
    assert (await site.put("/v1/agent/check/update/c", {"Status": "warning", "Output": "o"})).status == 200
    check = site.agent.local.checks_by_id["c"]
    assert (check.status, check.output) == ("warning", "o")
    got = await site.put("/v1/agent/check/update/c", {"Status": "odd"})
    assert (got.status, got.text) == (400, "Invalid check status: 'odd'")
    got = await site.put("/v1/agent/check/update/none", {"Status": "passing"})
    assert (got.status, got.text) == (500, 'CheckID "none" does not have associated TTL')


@pytest.mark.parametrize(
    ("statuses", "http", "reason"),
    [
        ([], 200, "passing"),
        (["passing"], 200, "passing"),
        (["passing", "warning"], 429, "warning"),
        (["warning", "critical"], 503, "critical"),
    ],
)
async def test_local_health(site: Site, statuses: list[str], http: int, reason: str) -> None:
    add_service(site)
    add_service(site, "other")
    add_check(site, "of-other", "critical", "other")
    for number, status in enumerate(statuses):
        add_check(site, f"c{number}", status, "s1" if number else "")
    got = await site.get("/v1/agent/health/service/id/s1")
    assert (got.status, got.headers["X-Consul-Reason"]) == (http, reason)
    assert got.json["AggregatedStatus"] == reason
    assert len(got.json["Checks"]) == len(statuses)
    text = await site.get("/v1/agent/health/service/id/s1?format=text")
    assert (text.status, text.text, text.headers["Content-Type"]) == (http, reason, "text/plain")
    by_name = await site.get("/v1/agent/health/service/name/s")
    assert (by_name.status, len(by_name.json)) == (503, 2)


async def test_local_health_in_maintenance(site: Site) -> None:
    add_service(site)
    add_check(site, "_service_maintenance:s1", "critical", "s1")
    got = await site.get("/v1/agent/health/service/id/s1?format=text")
    assert (got.status, got.text) == (503, "maintenance")


async def test_local_health_of_the_unknown(site: Site) -> None:
    got = await site.get("/v1/agent/health/service/id/none")
    assert got.status == 404
    assert got.headers["X-Consul-Reason"] == "ServiceId none not found"
    assert got.json == {"AggregatedStatus": "critical", "Service": None, "Checks": None}
    assert (await site.get("/v1/agent/health/service/id/none?format=text")).json == "ServiceId none not found"
    got = await site.get("/v1/agent/health/service/name/none?format=text")
    assert (got.status, got.text) == (404, "ServiceName none Not Found")
    got = await site.get("/v1/agent/health/service/id/")
    assert (got.status, got.text) == (500, "Bad request: Missing serviceID")


async def test_a_reason_cannot_smuggle_headers(site: Site) -> None:
    got = await site.get("/v1/agent/health/service/id/a%0d%0aX-Evil:%20yes")
    assert got.status == 404
    assert "X-Evil" not in got.headers


async def test_services_are_filtered(site: Site) -> None:
    add_service(site, "s1", tags=["a"], port=80)
    add_service(site, "s2", meta={"v": "2"})
    assert list((await site.get("/v1/agent/services?filter=")).json) == ["s1", "s2"]
    assert list((await site.get("/v1/agent/services?filter=a%20in%20Tags")).json) == ["s1"]
    assert list((await site.get("/v1/agent/services?filter=Meta.v==2")).json) == ["s2"]
    assert (await site.get("/v1/agent/services?filter=Port==1")).json == {}


async def test_checks_are_filtered(site: Site) -> None:
    add_check(site, "c1", "passing")
    add_check(site, "c2", "critical", "s1")
    assert list((await site.get("/v1/agent/checks?filter=")).json) == ["c1", "c2"]
    assert list((await site.get("/v1/agent/checks?filter=Status==passing")).json) == ["c1"]
    assert list((await site.get("/v1/agent/checks?filter=ServiceID==s1")).json) == ["c2"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("services", 'Failed to create boolean expression evaluator: Selector "Nope" is not valid'),
        ("checks", 'Selector "Nope" is not valid'),
    ],
)
async def test_a_filter_that_is_none_is_refused_as_consul_does(site: Site, path: str, text: str) -> None:
    got = await site.get(f"/v1/agent/{path}?filter=Nope==1")
    assert (got.status, got.text) == (500, text)
