"""The agent's own endpoints on real agents: maintenance through a restart, metrics, the log, the hash of a service."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request

import pytest

from harness.agents import AgentProcess, Cluster, environment
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(120)


def passing(agent: AgentProcess) -> int:
    """How many instances of `web` are well, by the catalog."""
    return len(agent.get("/v1/health/service/web?passing"))


def test_maintenance_outlives_the_client_and_reaches_the_catalog(cluster: Cluster) -> None:
    servers = cluster.servers(1)
    client = cluster.client("c1", servers)
    wait_for(lambda: client.ask("PUT", "/v1/agent/service/register", {"Name": "web"}).status == 200, "a registration")
    wait_for(lambda: passing(client) == 1, "the service in the catalog")
    assert client.ask("PUT", "/v1/agent/service/maintenance/web?enable=true&reason=upgrade").status == 200
    assert passing(client) == 0
    client.kill()
    client.start()
    wait_for(lambda: "_service_maintenance:web" in client.get("/v1/agent/checks"), "maintenance after the restart")
    wait_for(lambda: client.get("/v1/status/leader"), "a server")
    assert passing(client) == 0
    assert client.ask("PUT", "/v1/agent/service/maintenance/web?enable=false").status == 200
    wait_for(lambda: passing(client) == 1, "the service back in service")


def figures(agent: AgentProcess) -> dict[str, float]:
    """All metrics of an agent, as Prometheus reads them; OSError where it does not tell."""
    answer = agent.ask("GET", "/v1/agent/metrics?format=prometheus")
    if answer.status != 200:
        raise OSError(answer.body.decode())
    lines = (line.rpartition(" ") for line in answer.body.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_a_server_and_its_client_measure_themselves(cluster: Cluster) -> None:
    telemetry = {"prometheus_retention_time": "1m", "disable_hostname": True}
    (server,) = cluster.servers(1, telemetry=telemetry)
    client = cluster.client("c1", [server], telemetry=telemetry)
    server.wait_leader()
    wait_for(lambda: client.ask("PUT", "/v1/kv/a", "1").body == b"true", "a write through the client")
    wait_for(lambda: figures(server)['consul_state_nodes{datacenter="dc1"}'] == 2, "both nodes in the catalog")
    seen, asked = figures(server), figures(client)
    assert seen["consul_kvs_apply_count"] == 1
    assert seen["consul_raft_commitTime_count"] >= 3
    assert seen["consul_rpc_request"] >= 1
    assert seen["consul_autopilot_healthy"] == seen["consul_server_isLeader"] == 1
    assert seen["consul_raft_applied_index"] > 3
    assert asked['consul_api_http_count{method="PUT",path="v1.kv._"}'] >= 1
    assert asked["consul_client_rpc"] >= 1
    for figure in (seen, asked):
        assert figure["consul_runtime_alloc_bytes"] > 1e7
        assert figure["consul_serf_member_join"] >= 1
    names = {gauge["Name"] for gauge in server.get("/v1/agent/metrics")["Gauges"]}
    assert {"consul.runtime.alloc_bytes", "consul.raft.applied_index"} <= names


def test_the_log_can_be_listened_to_below_its_own_level(cluster: Cluster) -> None:
    server = cluster.agent("n1", server=True, bootstrap=True).start()
    server.wait_leader()
    command = [sys.executable, "-m", "consul_kernel.cli.main", "monitor", "-log-level", "debug"]
    command += ["-http-addr", server.http]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as listener:
        assert listener.stdout is not None
        found = threading.Event()
        lines: list[str] = []

        def read() -> None:
            assert listener.stdout is not None
            for line in listener.stdout:
                lines.append(line)
                if "path=/v1/kv/listened" in line:
                    found.set()

        reader = threading.Thread(target=read)
        reader.start()

        def heard() -> bool:
            server.ask("GET", "/v1/kv/listened")
            return found.wait(0.1)

        wait_for(heard, "the request in the log that is listened to")
        server.end()
        listener.wait(10)
        reader.join(10)
    assert listener.returncode == 0
    assert "Remote side ended the monitor!" in lines[-1]
    assert "path=/v1/kv/listened" not in server.log_text()


def test_a_service_is_waited_for_by_its_hash(cluster: Cluster) -> None:
    server = cluster.agent("n1", server=True, bootstrap=True).start()
    server.wait_leader()
    server.ask("PUT", "/v1/agent/service/register", {"Name": "web", "Port": 1})
    known = server.ask("GET", "/v1/agent/service/web").headers["x-consul-contenthash"]
    answers: list[bytes] = []

    def wait() -> None:
        with urllib.request.urlopen(f"http://{server.http}/v1/agent/service/web?hash={known}&wait=60s") as answer:
            answers.append(answer.read())

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not answers
    server.ask("PUT", "/v1/agent/service/register", {"Name": "web", "Port": 2})
    waiting.join(10)
    assert b'"Port":2' in answers[0]
