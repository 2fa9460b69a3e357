"""py-consul, a client that people use, against a real agent: what it was written for works."""

from __future__ import annotations

import threading
from typing import Any

import consul
import pytest

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for


@pytest.fixture
def agent(cluster: Cluster) -> AgentProcess:
    made = cluster.agent("solo", server=True, bootstrap=True).start()
    made.wait_leader()
    return made


@pytest.fixture
def client(agent: AgentProcess) -> Any:
    host, port = agent.http.split(":")
    made = consul.Consul(host, int(port))
    wait_for(lambda: made.kv.put("ready", "yes"), "a first write")
    return made


def test_keys(client: Any) -> None:
    assert client.kv.put("app/a", "1") is True
    assert client.kv.put("app/b", b"\x00\xff", flags=42) is True
    index, entry = client.kv.get("app/b")
    assert (entry["Value"], entry["Flags"]) == (b"\x00\xff", 42)
    assert int(index) == entry["ModifyIndex"]
    assert client.kv.put("app/a", "2", cas=0) is False
    assert client.kv.put("app/b", "2", cas=entry["ModifyIndex"]) is True
    assert client.kv.get("app/", keys=True)[1] == ["app/a", "app/b"]
    assert [item["Key"] for item in client.kv.get("app/", recurse=True)[1]] == ["app/a", "app/b"]
    assert client.kv.delete("app/", recurse=True) is True
    assert client.kv.get("app/a")[1] is None


def test_a_blocking_read_returns_on_the_write(client: Any) -> None:
    client.kv.put("watched", "before")
    index, _ = client.kv.get("watched")
    seen: list[bytes] = []
    reader = threading.Thread(target=lambda: seen.append(client.kv.get("watched", index=index, wait="30s")[1]["Value"]))
    reader.start()
    client.kv.put("watched", "after")
    reader.join(10)
    assert seen == [b"after"]


def test_a_service_and_its_check(client: Any) -> None:
    client.agent.service.register("web", service_id="web-1", port=80, tags=["v1"], check=consul.Check.ttl("60s"))
    assert client.agent.services()["web-1"]["Port"] == 80
    assert client.agent.checks()["service:web-1"]["Status"] == "critical"
    wait_for(lambda: client.health.service("web")[1], "web in the catalog")
    assert client.health.service("web", passing=True)[1] == []
    client.agent.check.ttl_pass("service:web-1", "fine")
    found = wait_for(lambda: client.health.service("web", passing=True, tag="v1")[1], "web passing")
    assert found[0]["Service"]["ID"] == "web-1"
    assert client.catalog.services()[1]["web"] == ["v1"]
    assert client.catalog.service("web")[1][0]["ServicePort"] == 80
    client.agent.service.deregister("web-1")
    wait_for(lambda: "web" not in client.catalog.services()[1], "web gone")


def test_the_catalog(client: Any) -> None:
    service = {"Service": "db", "ID": "db-1", "Port": 5432}
    assert client.catalog.register("external", "10.1.2.3", service=service) is True
    assert {node["Node"] for node in client.catalog.nodes()[1]} >= {"external", "solo"}
    assert client.catalog.node("external")[1]["Services"]["db-1"]["Port"] == 5432
    assert client.health.node("external")[1] == []
    assert client.catalog.datacenters() == ["dc1"]
    assert client.catalog.deregister("external") is True
    assert client.catalog.node("external")[1] is None


def test_agent_and_status(client: Any, agent: AgentProcess) -> None:
    assert client.agent.self()["Config"]["NodeName"] == "solo"
    assert [member["Name"] for member in client.agent.members()] == ["solo"]
    leader = client.status.leader()
    assert leader == f"{agent.rpc[0]}:{agent.rpc[1]}"
    assert client.status.peers() == [leader]
    assert [check["CheckID"] for check in client.health.state("passing")[1]] == ["serfHealth"]


def test_an_unknown_datacenter_is_the_clients_exception(client: Any) -> None:
    with pytest.raises(consul.ConsulException, match="No path to datacenter"):
        client.kv.get("a", dc="nowhere")
