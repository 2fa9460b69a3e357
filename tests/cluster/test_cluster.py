"""Three servers and a client as real processes: one datacenter, seen from every agent."""

from __future__ import annotations

import base64
import time

import dns.message
import dns.query
import dns.rdatatype
import pytest

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

FAILOVER_BUDGET_S = 5.0
FAILED_BUDGET_S = 20.0


def formed(cluster: Cluster) -> tuple[list[AgentProcess], AgentProcess]:
    """Three servers with a leader and one client that can read through them."""
    servers = cluster.servers(3)
    client = cluster.client("c1", servers)
    for agent in (*servers, client):
        agent.wait_leader()
    wait_for(lambda: len(client.get("/v1/catalog/nodes")) == 4, "all four nodes in the catalog")
    return servers, client


def value(agent: AgentProcess, key: str, *, stale: bool = False) -> bytes:
    entry = agent.get(f"/v1/kv/{key}{'?stale' if stale else ''}")[0]
    return base64.b64decode(entry["Value"] or "")


def put(agent: AgentProcess, key: str, text: str) -> bool:
    answer = agent.ask("PUT", f"/v1/kv/{key}", text)
    return answer.status == 200 and answer.json is True


def dns_addresses(agent: AgentProcess, name: str) -> list[str]:
    query = dns.message.make_query(name, dns.rdatatype.A)
    response = dns.query.udp(query, agent.dns[0], port=agent.dns[1], timeout=2)
    return [str(record) for answer in response.answer for record in answer]


def test_a_write_through_the_client_is_read_on_every_server(cluster: Cluster) -> None:
    servers, client = formed(cluster)
    assert put(client, "greeting", "hello")
    for agent in (*servers, client):
        assert value(agent, "greeting") == b"hello"
    for server in servers:
        wait_for(lambda server=server: value(server, "greeting", stale=True) == b"hello", "replication")  # type: ignore[misc]


def test_a_service_of_the_client_is_found_by_dns_on_a_server(cluster: Cluster) -> None:
    servers, client = formed(cluster)
    definition = {"Name": "web", "Port": 8080, "Check": {"TTL": "60s", "Status": "passing"}}
    assert client.ask("PUT", "/v1/agent/service/register", definition).status == 200
    wait_for(lambda: dns_addresses(servers[0], "web.service.consul.") == ["127.0.0.1"], "web in DNS", timeout_s=15)
    assert client.ask("PUT", "/v1/agent/check/fail/service:web").status == 200
    wait_for(lambda: dns_addresses(servers[0], "web.service.consul.") == [], "web gone from DNS", timeout_s=15)


def test_the_leader_dies_and_nothing_acknowledged_is_lost(cluster: Cluster) -> None:
    servers, client = formed(cluster)
    leader = cluster.leader()
    acknowledged = [f"before/{n}" for n in range(20) if put(client, f"before/{n}", str(n))]
    assert len(acknowledged) == 20
    leader.kill()
    killed_s = time.monotonic()
    survivors = [server for server in servers if server is not leader]
    wait_for(lambda: put(survivors[0], "after", "x"), "a write after the leader's death", timeout_s=FAILOVER_BUDGET_S)
    assert time.monotonic() - killed_s < FAILOVER_BUDGET_S
    for key in acknowledged:
        assert value(client, key) == key.rpartition("/")[2].encode()

    leader.start()
    wait_for(lambda: value(leader, "after", stale=True) == b"x", "the dead server catching up")
    wait_for(lambda: len(leader.get("/v1/status/peers")) == 3, "three peers again")


def test_a_killed_client_fails_everywhere(cluster: Cluster) -> None:
    servers, client = formed(cluster)
    client.kill()

    def failed_for(server: AgentProcess) -> bool:
        states = {member["Name"]: member["Status"] for member in server.get("/v1/agent/members")}
        return bool(states["c1"] == 4)

    for server in servers:
        wait_for(lambda server=server: failed_for(server), "c1 failed", timeout_s=FAILED_BUDGET_S)  # type: ignore[misc]

    def critical() -> bool:
        checks = {check["CheckID"]: check["Status"] for check in servers[0].get("/v1/health/node/c1")}
        return checks.get("serfHealth") == "critical"

    wait_for(critical, "c1 critical", timeout_s=FAILED_BUDGET_S)


def test_a_leaving_client_is_taken_out_of_the_catalog(cluster: Cluster) -> None:
    servers, client = formed(cluster)
    assert client.end() == 0
    wait_for(
        lambda: "c1" not in {node["Node"] for node in servers[0].get("/v1/catalog/nodes")}, "c1 out of the catalog"
    )
    states = {member["Name"]: member["Status"] for member in servers[0].get("/v1/agent/members")}
    assert states["c1"] == 3


def test_a_server_leaves_without_waiting_in_vain(cluster: Cluster) -> None:
    servers = cluster.servers(
        3, leave_on_terminate=True, performance={"raft_multiplier": 1, "leave_drain_time": "100ms"}
    )
    for server in servers:
        server.wait_leader()
    wait_for(lambda: len(servers[0].get("/v1/status/peers")) == 3, "three peers")
    leaving = cluster.leader()
    others = [server for server in servers if server is not leaving]
    assert leaving.end() == 0
    assert "still in the quorum" not in leaving.log_text()
    for server in others:
        wait_for(lambda server=server: len(server.get("/v1/status/peers")) == 2, "two peers")  # type: ignore[misc]
    wait_for(lambda: put(others[0], "after-leave", "x"), "a write in the smaller quorum")
