"""py-consul against three servers: locks, and an election that outlives the leader."""

from __future__ import annotations

import time
from typing import Any

import consul
import pytest

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

DELAY_S = 1
ELECTION = "service/app/leader"


def client_of(agent: AgentProcess) -> Any:
    host, port = agent.http.split(":")
    return consul.Consul(host, int(port))


def try_to_lead(client: Any, session: str, name: str) -> bool:
    """False as long as it does not work out, whatever the reason: that is how an election goes on over a failover."""
    try:
        return bool(client.kv.put(ELECTION, name, acquire=session))
    except consul.ConsulException:
        return False


def formed(cluster: Cluster) -> tuple[list[AgentProcess], AgentProcess]:
    servers = cluster.servers(3)
    agent = cluster.client("c1", servers)
    agent.wait_leader()
    wait_for(lambda: len(agent.get("/v1/health/state/passing")) == 4, "serfHealth of all four nodes")
    return servers, agent


def test_an_election_and_a_lock_delay_go_on_over_the_death_of_the_leader(cluster: Cluster) -> None:
    servers, agent = formed(cluster)
    leader = cluster.leader()
    first, second = client_of(agent), client_of(next(server for server in servers if server is not leader))
    mine = first.session.create(name="first", ttl=10, lock_delay=30, behavior="release")
    other = second.session.create(name="second", ttl=10, lock_delay=0)
    assert try_to_lead(first, mine, "first")
    assert not try_to_lead(second, other, "second")
    index, entry = second.kv.get(ELECTION)
    assert (entry["Session"], entry["Value"]) == (mine, b"first")

    leader.kill()
    wait_for(lambda: cluster.leader() is not leader, "another leader")
    wait_for(lambda: _renewed(first, mine), "a renewal by the new leader")
    assert {session["ID"] for session in second.session.list()[1]} == {mine, other}
    assert second.kv.get(ELECTION)[1]["Session"] == mine

    first.session.destroy(mine)
    index, entry = second.kv.get(ELECTION, index=index, wait="10s")
    assert "Session" not in entry
    assert not try_to_lead(second, other, "second")  # the delay of 30 s
    assert second.session.destroy(other) is True


def test_a_delay_that_began_under_the_old_leader_holds_under_the_new(cluster: Cluster) -> None:
    servers, agent = formed(cluster)
    leader = cluster.leader()
    client = client_of(agent)
    mine = client.session.create(lock_delay=60)
    other = client.session.create(lock_delay=0)
    assert try_to_lead(client, mine, "first")
    client.session.destroy(mine)
    for server in servers:
        wait_for(lambda server=server: "Session" not in server.get(f"/v1/kv/{ELECTION}?stale")[0], "replication")  # type: ignore[misc]
    leader.kill()
    survivor = cluster.leader()
    wait_for(lambda: survivor.ask("PUT", "/v1/kv/probe", "x").status == 200, "a write")
    locked = survivor.ask("PUT", f"/v1/kv/{ELECTION}?acquire={other}", "second")
    assert (locked.status, locked.json) == (200, False)


def test_who_is_not_renewed_loses_the_lock_also_after_a_failover(cluster: Cluster) -> None:
    servers, agent = formed(cluster)
    leader = cluster.leader()
    client = client_of(agent)
    session = client.session.create(ttl=10, lock_delay=0, behavior="delete")
    created_s = time.monotonic()
    assert try_to_lead(client, session, "first")
    leader.kill()
    survivor = next(server for server in servers if server is not leader)
    wait_for(lambda: survivor.ask("GET", f"/v1/kv/{ELECTION}").status == 404, "the end of the lock", timeout_s=60)
    assert time.monotonic() - created_s > 20


def _renewed(client: Any, session: str) -> bool:
    try:
        return bool(client.session.renew(session)["ID"] == session)
    except (consul.ConsulException, OSError):
        return False
