"""Two datacenters as real processes: each answers for the other, also through the death of a server."""

from __future__ import annotations

import json

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


def prepared_queries_fail_over(here: AgentProcess, client: AgentProcess) -> None:
    """What is in dc2 alone is found from dc1, as long as there is none in dc1, by a client of it as by its server."""
    template = {"Type": "name_prefix_match", "Regexp": "^geo-(.+)$"}
    service = {"Service": "${match(1)}", "Failover": {"NearestN": 3, "Datacenters": ["dc9"]}}
    query = {"Name": "geo-", "Template": template, "Service": service, "DNS": {"TTL": "7s"}}
    query_id = json.loads(client.ask("POST", "/v1/query", query).body)["ID"]

    def found(agent: AgentProcess) -> tuple[list[str], str, int]:
        reply = agent.get("/v1/query/geo-web/execute")
        return [entry["Node"]["Node"] for entry in reply["Nodes"]], reply["Datacenter"], reply["Failovers"]

    for agent in (here, client):
        assert found(agent) == (["t2"], "dc2", 1)
        assert addresses(agent, "geo-web.query.consul.") == ["127.0.0.1"]
        assert addresses(agent, "geo-none.query.consul.") == []
        assert agent.get("/v1/query/geo-web/explain")["Query"]["Service"]["Service"] == "web"
    definition = {"Name": "web", "Port": 8080}
    assert client.ask("PUT", "/v1/agent/service/register", definition).status == 200
    for agent in (here, client):
        wait_for(lambda a=agent: found(a) == (["c1"], "dc1", 0), "the instance that is near")  # type: ignore[misc]
    assert client.ask("PUT", "/v1/agent/service/deregister/web").status == 200
    assert client.ask("DELETE", f"/v1/query/{query_id}").status == 200
    assert client.ask("GET", "/v1/query/geo-web/execute").status == 404


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
    prepared_queries_fail_over(here, client)

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
