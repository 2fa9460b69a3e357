"""Two datacenters as real processes: each answers for the other, also through the death of a server."""

from __future__ import annotations

import dns.message
import dns.query
import dns.rdatatype
import pytest

from harness.agents import AgentProcess, Cluster
from harness.retrying import Background, RetryingClient
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

FAST_GOSSIP = {"gossip_interval": "50ms", "probe_interval": "500ms", "probe_timeout": "250ms"}
"""The WAN pool's own numbers are for long distances, and slow on one machine."""


def federated(cluster: Cluster) -> tuple[AgentProcess, AgentProcess, list[AgentProcess]]:
    """A server and a client of dc1, and three servers of dc2, joined by one join of one server."""
    there = cluster.servers(3, prefix="t", datacenter="dc2", gossip_wan=FAST_GOSSIP)
    (here,) = cluster.servers(1, datacenter="dc1", gossip_wan=FAST_GOSSIP, retry_join_wan=[there[0].wan])
    client = cluster.client("c1", [here], datacenter="dc1")
    agents = (here, client, *there)
    for agent in agents:
        agent.wait_leader(timeout_s=90)
    for server in (here, *there):
        wait_for(lambda s=server: len(s.get("/v1/agent/members?wan=1")) == 4, "everybody in the WAN pool")  # type: ignore[misc]
    for agent in agents:
        wait_for(lambda a=agent: sorted(a.get("/v1/catalog/datacenters")) == ["dc1", "dc2"], "both datacenters")  # type: ignore[misc]
    return here, client, there


def addresses(agent: AgentProcess, name: str) -> list[str]:
    query = dns.message.make_query(name, dns.rdatatype.A)
    response = dns.query.udp(query, agent.dns[0], port=agent.dns[1], timeout=5)
    return [str(record) for answer in response.answer for record in answer]


def test_each_datacenter_answers_for_the_other_and_the_death_of_its_leader_is_not_seen(cluster: Cluster) -> None:
    here, client, there = federated(cluster)
    definition = {"Name": "web", "Port": 8080, "Check": {"TTL": "600s", "Status": "passing"}}
    assert there[1].ask("PUT", "/v1/agent/service/register", definition).status == 200
    for agent in (here, client):
        wait_for(lambda a=agent: addresses(a, "web.service.dc2.consul.") == ["127.0.0.1"], "the service by DNS")  # type: ignore[misc]
        assert addresses(agent, "t2.node.dc2.consul.") == ["127.0.0.1"]
        assert [entry["Node"]["Node"] for entry in agent.get("/v1/health/service/web?dc=dc2")] == ["t2"]
        assert agent.get("/v1/status/leader?dc=dc2") == there[0].get("/v1/status/leader")
        assert agent.get("/v1/catalog/datacenters")[0] == "dc1"
        unknown = agent.ask("GET", "/v1/kv/a?dc=dc9")
        assert (unknown.status, unknown.body.endswith(b"No path to datacenter")) == (500, True)
    assert there[2].get("/v1/catalog/nodes?dc=dc1")[0]["Datacenter"] == "dc1"

    survivors = [server for server in there if not server.is_leader()]
    agents = [here, client, *survivors]
    load = Background(RetryingClient(agents, ["dc1", "dc2"]))
    wait_for(lambda: load.rounds > 1, "rounds under way")
    leader = next(server for server in there if server not in survivors)
    leader.kill()
    killed_in = load.rounds
    wait_for(lambda: load.rounds > killed_in + 3, "rounds after the death", timeout_s=60)
    load.end()
    assert load.client.errors == []
    assert sorted(here.get("/v1/catalog/datacenters")) == ["dc1", "dc2"]
