"""A client agent answers as a server does: the same calls through it and on a server, compared."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest

from harness.agents import AgentProcess, Cluster
from harness.http import Answer
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

OWN_HEADERS = {"date", "content-length", "x-consul-index", "x-consul-lastcontact", "age"}
"""Headers whose values are of the moment, or of the run of one of the two."""
NUMBER_KEYS = {"CreateIndex", "ModifyIndex", "Index", "LTime", "LastContact", "Elapsed"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

WEB = {"Node": "outside", "Address": "10.9.0.1", "Service": {"Service": "web", "Port": 80, "Tags": ["v1"]}}
CALLS: list[tuple[str, str, Any]] = [
    ("PUT", "/v1/kv/{p}/a", "1"),
    ("PUT", "/v1/kv/{p}/b?flags=42", b"\x00\xff"),
    ("GET", "/v1/kv/{p}/a?stale", None),
    ("GET", "/v1/kv/{p}/a", None),
    ("GET", "/v1/kv/{p}/a?raw", None),
    ("GET", "/v1/kv/{p}/a?consistent&pretty", None),
    ("GET", "/v1/kv/{p}/?recurse", None),
    ("GET", "/v1/kv/{p}/?keys&separator=/", None),
    ("GET", "/v1/kv/{p}/none", None),
    ("HEAD", "/v1/kv/{p}/a", None),
    ("PUT", "/v1/kv/{p}/a?cas=1", "2"),
    ("PUT", "/v1/kv/{p}/a?cas=nope", "2"),
    ("PUT", "/v1/kv/{p}/a?acquire=nope", "2"),
    ("PUT", "/v1/kv/", "2"),
    ("GET", "/v1/kv/{p}/a?consistent&stale", None),
    ("GET", "/v1/kv/{p}/a?index=nope", None),
    ("GET", "/v1/kv/{p}/a?dc=nowhere", None),
    ("DELETE", "/v1/kv/{p}/b", None),
    ("POST", "/v1/kv/{p}/b", "x"),
    ("PUT", "/v1/txn", '[{"KV":{"Verb":"set","Key":"{p}/t","Value":"MQ=="}},{"KV":{"Verb":"get","Key":"{p}/t"}}]'),
    ("PUT", "/v1/txn?stale", '[{"KV":{"Verb":"get","Key":"{p}/t"}}]'),
    ("PUT", "/v1/txn", '[{"KV":{"Verb":"cas","Key":"{p}/t","Value":"MQ==","Index":1}}]'),
    ("PUT", "/v1/txn", '[{"KV":{"Verb":"nope","Key":"{p}/t"}}]'),
    ("PUT", "/v1/catalog/register", WEB),
    ("PUT", "/v1/catalog/register", {"Address": "10.9.0.1"}),
    ("PUT", "/v1/catalog/register", '{"Node": 1}'),
    ("GET", "/v1/catalog/service/web?stale", None),
    ("GET", "/v1/catalog/service/web?tag=v1&filter=ServicePort==80", None),
    ("GET", "/v1/catalog/service/web?filter=Nope==80", None),
    ("GET", "/v1/catalog/service/", None),
    ("GET", "/v1/catalog/node/outside", None),
    ("GET", "/v1/catalog/node/nobody", None),
    ("GET", "/v1/catalog/nodes?near=_agent&filter=Node==outside", None),
    ("GET", "/v1/catalog/services", None),
    ("GET", "/v1/internal/ui/services", None),
    ("GET", "/v1/catalog/datacenters", None),
    ("GET", "/v1/health/service/web?passing", None),
    ("GET", "/v1/health/service/web?cached", None),
    ("GET", "/v1/health/service/none", None),
    ("GET", "/v1/health/node/outside", None),
    ("GET", "/v1/health/checks/web", None),
    ("GET", "/v1/health/state/nope", None),
    ("PUT", "/v1/catalog/register", '{"Node": "{p}", "Address": "10.9.0.2"}'),
    ("PUT", "/v1/session/create", '{"Node": "{p}", "Checks": [], "TTL": "60s", "Name": "{p}"}'),
    ("PUT", "/v1/session/create", '{"TTL": "1s"}'),
    ("PUT", "/v1/session/renew/11111111-2222-3333-4444-555555555555", None),
    ("GET", "/v1/session/info/nope", None),
    ("GET", "/v1/session/node/{p}", None),
    ("POST", "/v1/query", '{"Name": "{p}", "Service": {"Service": "web"}}'),
    ("POST", "/v1/query", '{"Name": "{p}", "Service": {"Service": "web"}}'),
    ("GET", "/v1/query/{p}/execute?stale", None),
    ("GET", "/v1/query/{p}/explain", None),
    ("GET", "/v1/query/{p}", None),
    ("PUT", "/v1/event/fire/{p}", "payload"),
    ("GET", "/v1/event/list?name=none", None),
    ("GET", "/v1/coordinate/node/nobody", None),
    ("PUT", "/v1/config", '{"Kind": "service-defaults", "Name": "{p}", "Protocol": "http"}'),
    ("GET", "/v1/config/service-defaults/{p}", None),
    ("GET", "/v1/config/nope/x", None),
    ("PUT", "/v1/config", '{"Kind": "nope", "Name": "x"}'),
    ("GET", "/v1/status/leader", None),
    ("GET", "/v1/status/peers", None),
    ("GET", "/v1/operator/raft/configuration", None),
    ("GET", "/v1/operator/autopilot/configuration", None),
    ("PUT", "/v1/agent/service/register", '{"Name": "{p}", "Port": 1, "Check": {"TTL": "1h"}}'),
    ("PUT", "/v1/agent/service/register", '{"Name": "{p}", "Check": {"Args": ["true"], "Interval": "1s"}}'),
    ("GET", "/v1/agent/health/service/name/{p}", None),
    ("PUT", "/v1/agent/check/pass/service:{p}", None),
    ("PUT", "/v1/agent/check/pass/none", None),
    ("GET", "/v1/acl/tokens", None),
    ("OPTIONS", "/v1/catalog/nodes", None),
    ("GET", "/v1/nope", None),
    ("PUT", "/v1/catalog/nodes", None),
]
"""Method, path and body; `{p}` stands for a prefix of each agent's own."""

NAMES = [
    ("web.service.consul", "A"),
    ("web.service.consul", "SRV"),
    ("v1.web.service.dc1.consul", "ANY"),
    ("_web._v1.service.consul", "SRV"),
    ("outside.node.consul", "A"),
    ("outside.node.consul", "TXT"),
    ("none.service.consul", "A"),
    ("consul", "NS"),
    ("1.0.9.10.in-addr.arpa", "PTR"),
    ("web.service.nowhere.consul", "A"),
]


@pytest.fixture(scope="module")
def agents(shared_cluster: Cluster) -> tuple[AgentProcess, AgentProcess]:
    """A follower of three servers, and a client agent."""
    servers = shared_cluster.servers(3)
    client = shared_cluster.client("c1", servers)
    client.wait_leader()
    leader = shared_cluster.leader()
    wait_for(lambda: len(client.get("/v1/health/state/passing")) == 4, "serfHealth of all four")
    return next(server for server in servers if server is not leader), client


class Seen:
    """What one agent answered, without what is of the moment or of its own."""

    def __init__(self, agent: AgentProcess, prefix: str) -> None:
        self._agent = agent
        self._prefix = prefix

    def call(self, method: str, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
        if isinstance(body, str):
            body = body.replace("{p}", self._prefix)
        answer = self._agent.ask(method, path.replace("{p}", self._prefix), body)
        headers = {name: value for name, value in answer.headers.items() if name not in OWN_HEADERS}
        for name in OWN_HEADERS & answer.headers.keys() - {"age", "content-length"}:
            headers[name] = "present"
        content = self._plain(_content(answer))
        if path.startswith("/v1/agent/"):
            content = json.loads(json.dumps(content).replace(f'"{self._agent.name}"', '"NODE"'))
        return answer.status, headers, content

    def _plain(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {self._text(name): self._plain(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._plain(item) for item in value]
        if isinstance(value, str):
            return self._text(value)
        return "a number" if key in NUMBER_KEYS and isinstance(value, int) else value

    def _text(self, text: str) -> str:
        text = UUID.sub("a uuid", text.replace(self._prefix, "PREFIX"))
        return re.sub(r"index \d+", "an index", text)


def _content(answer: Answer) -> Any:
    if answer.headers.get("content-type", "").startswith("application/json") and answer.body:
        return answer.json
    return answer.body.decode(errors="surrogateescape")


def test_the_same_calls_have_the_same_answers(agents: tuple[AgentProcess, AgentProcess]) -> None:
    follower, client = agents
    on_server, through_client = Seen(follower, "aa-server"), Seen(client, "aa-client")
    statuses = set()
    for method, path, body in CALLS:
        expected = on_server.call(method, path, body)
        assert through_client.call(method, path, body) == expected, (method, path)
        statuses.add(expected[0])
    assert {200, 400, 404, 405, 409, 500, 503} <= statuses


def test_the_same_names_have_the_same_records(agents: tuple[AgentProcess, AgentProcess]) -> None:
    answers = []
    for agent in agents:
        assert agent.ask("PUT", "/v1/catalog/register", WEB).status == 200
        found = []
        for name, kind in NAMES:
            query = dns.message.make_query(name, kind, id=1)
            response = dns.query.udp(query, agent.dns[0], port=agent.dns[1], timeout=5)
            for section in (response.answer, response.authority, response.additional):
                for rrset in section:
                    assert rrset.ttl == 0 or rrset.rdtype == dns.rdatatype.SOA, name
            records = sorted(
                record.to_text()
                for section in (response.answer, response.additional)
                for rrset in section
                for record in rrset
            )
            found.append((name, kind, dns.rcode.to_text(response.rcode()), response.flags, records))
        answers.append(found)
    assert answers[0] == answers[1]
    assert {rcode for _, _, rcode, _, _ in answers[0]} >= {"NOERROR", "NXDOMAIN"}


def test_what_was_written_through_an_agent_is_read_there(agents: tuple[AgentProcess, AgentProcess]) -> None:
    """Stale reads and DNS are answered by a server that may not have heard of a write yet; here it has."""
    for agent in agents:
        for number in range(50):
            assert agent.ask("PUT", "/v1/kv/own-writes", str(number)).body == b"true"
            assert agent.ask("GET", "/v1/kv/own-writes?stale&raw").body == str(number).encode()
        for number in range(20):
            service = {"Service": f"own-{number}", "Port": 80}
            body = {"Node": "outside", "Address": "10.9.0.1", "Service": service}
            assert agent.ask("PUT", "/v1/catalog/register", body).status == 200
            query = dns.message.make_query(f"own-{number}.service.consul", "A")
            response = dns.query.udp(query, agent.dns[0], port=agent.dns[1], timeout=5)
            assert [str(record) for rrset in response.answer for record in rrset] == ["10.9.0.1"]
        assert agent.ask("PUT", "/v1/catalog/deregister", {"Node": "outside"}).status == 200


def test_a_blocking_read_through_a_client_ends_with_the_write(agents: tuple[AgentProcess, AgentProcess]) -> None:
    follower, client = agents
    assert client.ask("PUT", "/v1/kv/blocked", "1").status == 200
    index = client.ask("GET", "/v1/kv/blocked").index
    seen: list[tuple[Answer, float]] = []

    def wait() -> None:
        answer = client.ask("GET", f"/v1/kv/blocked?index={index}&wait=30s", timeout_s=40)
        seen.append((answer, time.monotonic()))

    waiting = threading.Thread(target=wait)
    waiting.start()
    # Another key's write and a wait that ends leave it asleep.
    assert follower.ask("PUT", "/v1/kv/beside", "1").status == 200
    expired = client.ask("GET", f"/v1/kv/blocked?index={index}&wait=100ms")
    assert (expired.status, expired.index) == (200, index)
    assert not seen
    assert follower.ask("PUT", "/v1/kv/blocked", "2").status == 200
    written_s = time.monotonic()
    waiting.join(10)
    answer, woken_s = seen[0]
    assert answer.index > index
    assert answer.json[0]["Value"] == "Mg=="
    assert woken_s - written_s < 1


def test_a_server_that_is_taken_out_of_the_catalog_comes_back_by_itself(
    agents: tuple[AgentProcess, AgentProcess],
) -> None:
    """Its own anti-entropy brings the node back when it has something to push, as Consul's does."""
    follower, client = agents
    assert client.ask("PUT", "/v1/catalog/deregister", {"Node": follower.name}).status == 200
    assert follower.ask("PUT", "/v1/agent/service/register", {"Name": "brings-back"}).status == 200
    found = wait_for(lambda: client.get(f"/v1/catalog/node/{follower.name}"), "the node in the catalog")
    assert "brings-back" in found["Services"]
    assert found["Node"]["TaggedAddresses"]
