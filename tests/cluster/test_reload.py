"""A running server takes up its file: by SIGHUP and over HTTP; a broken file changes nothing."""

from __future__ import annotations

import json
import signal

import pytest

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(120)


def write(agent: AgentProcess, **changes: object) -> None:
    """Change the file, not the agent."""
    agent.file.write_text(json.dumps({**agent.config, **changes}, indent=1))


def test_the_catalog_follows_the_file(cluster: Cluster) -> None:
    server = cluster.agent("n1", server=True, bootstrap=True, services=[{"name": "old", "port": 1}]).start()
    server.wait_leader()
    wait_for(lambda: "old" in server.get("/v1/catalog/services"), "the service of the file")
    write(server, services=[{"name": "web", "port": 80}], node_meta={"rack": "r2"})
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: set(server.get("/v1/catalog/services")) == {"consul", "web"}, "the services of the new file")
    wait_for(lambda: server.get("/v1/catalog/nodes?node-meta=rack:r2"), "the node's metadata in the catalog")

    write(server, services=[{"name": "web", "prot": 81}])
    refused = server.ask("PUT", "/v1/agent/reload")
    assert refused.status == 500
    assert b"agent.json:" in refused.body
    assert b"prot" in refused.body
    assert server.get("/v1/agent/services")["web"]["Port"] == 80

    write(server, services=[{"name": "web", "port": 82}], raft_snapshot_threshold=100)
    assert server.ask("PUT", "/v1/agent/reload").status == 200
    wait_for(lambda: server.get("/v1/catalog/service/web")[0]["ServicePort"] == 82, "the new port in the catalog")
    assert "changed: node_meta, raft_snapshot_threshold, services" in server.log_text()
