"""A running server takes up its file: by SIGHUP and over HTTP; a broken file changes nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path

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


def test_watches_follow_the_file(cluster: Cluster, tmp_path: Path) -> None:
    def watch(out: str, **more: object) -> dict[str, object]:
        return {**more, "args": ["/bin/sh", "-c", f"cat >> {tmp_path / out}"]}

    def seen(name: str) -> list[object]:
        file = tmp_path / name
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    server = cluster.agent("n1", server=True, bootstrap=True, enable_local_script_checks=True).start()
    server.wait_leader()
    key, event = watch("key", type="key", key="a/b"), watch("event", type="event", name="deploy")
    write(server, watches=[key, event])
    assert server.ask("PUT", "/v1/agent/reload").status == 200
    wait_for(lambda: seen("key") == [None] and seen("event") == [[]], "what there is at the start")
    assert server.ask("PUT", "/v1/kv/a/b", b"x").status == 200
    assert server.ask("PUT", "/v1/event/fire/deploy", b"y").status == 200
    wait_for(lambda: [found["Value"] for found in seen("key")[1:]] == ["eA=="], "the key")  # type: ignore[index]
    wait_for(lambda: [found[0]["Payload"] for found in seen("event")[1:]] == ["eQ=="], "the event")  # type: ignore[index]

    write(server, watches=[event, watch("services", type="services")])
    assert server.ask("PUT", "/v1/agent/reload").status == 200
    wait_for(lambda: seen("services") == [{"consul": []}], "the watch that is new")
    assert server.ask("DELETE", "/v1/kv/a/b").status == 200
    assert server.ask("PUT", "/v1/event/fire/deploy", b"z").status == 200
    wait_for(lambda: len(seen("event")) == 3, "the watch that stays")
    assert len(seen("key")) == 2
