"""What servers and a client measure of their work together, under Consul's names."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for

TELEMETRY = {"prometheus_retention_time": "1m", "disable_hostname": True}
SAMPLES = """
raft.leader.dispatchLog raft.replication.appendEntries.rpc{peer_id} raft.replication.heartbeat{peer_id} raft.fsm.apply
raft.fsm.applyBatch rpc.consistentRead fsm.kvs{op=set} fsm.register fsm.session{op=create} fsm.txn
fsm.prepared-query{op=create} prepared-query.apply prepared-query.execute
"""
COUNTS = """
raft.barrier raft.verify_leader raft.state.candidate raft.replication.appendEntries.logs{peer_id}
raft.commitNumLogs raft.leader.dispatchNumLogs raft.fsm.applyBatchNum
"""
OF_FOLLOWERS = "raft.rpc.appendEntries raft.rpc.processHeartbeat raft.rpc.appendEntries.storeLogs fsm.kvs{op=set}"
OF_ALL = "memberlist.udp.sent memberlist.udp.received"
OF_STREAMS = "memberlist.tcp.connect memberlist.tcp.sent"


def figures(agent: AgentProcess) -> dict[str, float]:
    """Totals since the start by Consul's names; of labels their names, and the values of `op`."""
    answer = agent.ask("GET", "/v1/agent/metrics?format=prometheus")
    assert answer.status == 200
    found: dict[str, float] = {}
    for line in answer.body.decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            plain = re.sub(r'\b(?!op=)(\w+)="[^"]*"', r"\1", name.removeprefix("consul_")).replace('"', "")
            found[plain] = float(value)
    return found


def spelled(name: str, suffix: str) -> str:
    """A name as Prometheus reads it, with its labels."""
    base, brace, labels = name.partition("{")
    return re.sub(r"[.-]", "_", base) + suffix + brace + labels


def wait_for_all(agents: Sequence[AgentProcess], names: str, *, suffix: str = "") -> None:
    """Wait until all of these have happened on each of the agents."""
    for agent in agents:
        for name in names.split():
            wait_for(lambda agent=agent, name=name: figures(agent).get(spelled(name, suffix)), name, timeout_s=15)  # type: ignore[misc]


def work(server: AgentProcess) -> None:
    """Some of everything that is measured."""
    assert server.ask("PUT", "/v1/kv/a", {"x": 1}).status == 200
    assert server.ask("PUT", "/v1/session/create", {}).status == 200
    assert server.ask("GET", "/v1/kv/a?consistent").status == 200
    query = server.ask("POST", "/v1/query", {"Name": "q", "Service": {"Service": "consul"}})
    assert query.status == 200
    assert server.ask("GET", f"/v1/query/{query.json['ID']}/execute").status == 200
    write = [{"KV": {"Verb": "set", "Key": "b", "Value": base64.b64encode(b"x").decode()}}]
    assert server.ask("PUT", "/v1/txn", json.dumps(write)).status == 200


def test_a_quorum_at_work(cluster: Cluster) -> None:
    servers = cluster.servers(3, telemetry=TELEMETRY)
    client = cluster.client("c1", servers, telemetry=TELEMETRY)
    leader = cluster.leader()
    client.wait_leader()
    follower = next(server for server in servers if server is not leader)
    work(leader)
    for _ in range(2):
        assert client.ask("GET", "/v1/health/service/consul?cached").status == 200

    wait_for_all([leader], SAMPLES, suffix="_count")
    wait_for_all([leader], COUNTS)
    wait_for_all([follower], OF_FOLLOWERS, suffix="_count")
    wait_for_all([*servers, client], OF_ALL)
    wait_for_all([client], OF_STREAMS)
    asked = figures(client)
    assert asked["cache_health_services_miss_new"] == asked["cache_health_services_hit"] == asked["cache_entries_count"]
