"""Archives over real servers: saved on one, restored through another, the same on all."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from core.snapshot.archives import DATA, real_answers
from harness.agents import AgentProcess, Cluster
from harness.http import Answer
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

ANSWERS: dict[str, Any] = real_answers()


def command(agent: AgentProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that talks to an agent."""
    group, name, *rest = arguments
    return subprocess.run(
        [sys.executable, "-m", "consul_kernel.cli.main", group, name, f"-http-addr={agent.http}", *rest],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def keys(agent: AgentProcess) -> dict[str, tuple[bytes, int]]:
    """Value and index of each key, by the server's own state."""
    answer = agent.ask("GET", "/v1/kv/?recurse&stale")
    entries = answer.json if answer.status == 200 else []
    return {entry["Key"]: (base64.b64decode(entry["Value"] or ""), entry["ModifyIndex"]) for entry in entries}


def applied_index(agent: AgentProcess) -> int:
    """Up to which entry of the log the server's own state has come."""
    return int(agent.get("/v1/agent/self")["Stats"]["raft"]["applied_index"])


def formed(cluster: Cluster, **config: Any) -> tuple[AgentProcess, AgentProcess, AgentProcess]:
    """The leader and two followers."""
    servers = cluster.servers(3, **config)
    for server in servers:
        server.wait_leader()
    leader = cluster.leader()
    first, second = (server for server in servers if server is not leader)
    return leader, first, second


def test_what_one_server_saves_all_servers_have_again(cluster: Cluster, tmp_path: Path) -> None:
    leader, first, second = formed(cluster)
    client = cluster.client("c1", [leader, first, second])
    client.wait_leader()
    for number in range(200):
        assert leader.ask("PUT", f"/v1/kv/app/{number}", b"v%d" % number).status == 200
    service = {"Node": "db", "Address": "10.0.0.1", "Service": {"Service": "db", "Port": 5432}}
    assert leader.ask("PUT", "/v1/catalog/register", service).status == 200
    file = tmp_path / "backup.snap"
    saved = command(first, "snapshot", "save", str(file))
    assert (saved.returncode, saved.stderr) == (0, "")
    assert saved.stdout.startswith("Saved and verified snapshot to index ")
    before = keys(leader)

    assert first.ask("DELETE", "/v1/kv/?recurse").status == 200
    assert first.ask("PUT", "/v1/catalog/deregister", {"Node": "db"}).status == 200
    assert first.ask("PUT", "/v1/kv/later", b"gone soon").status == 200
    waiting: list[Answer] = []
    index = first.ask("GET", "/v1/kv/later").index
    blocked = threading.Thread(
        target=lambda: waiting.append(second.ask("GET", f"/v1/kv/later?index={index}&wait=60s", timeout_s=70))
    )
    blocked.start()
    restored = command(client, "snapshot", "restore", str(file))
    assert (restored.returncode, restored.stdout, restored.stderr) == (0, "Restored snapshot\n", "")
    blocked.join(20)
    assert [answer.status for answer in waiting] == [404]

    for server in (leader, first, second):
        wait_for(lambda server=server: keys(server) == before, f"the saved keys on {server.name}")  # type: ignore[misc]
        (found,) = server.get("/v1/catalog/service/db?stale")
        assert found["ServicePort"] == 5432
    assert first.ask("PUT", "/v1/kv/app/0", b"after").status == 200
    assert keys(leader)["app/0"][1] > max(index for _, index in before.values())


def test_a_failed_restore_leaves_everything_as_it_was(cluster: Cluster) -> None:
    leader, first, second = formed(cluster)
    assert leader.ask("PUT", "/v1/kv/kept", b"1").status == 200
    archive = leader.ask("GET", "/v1/snapshot").body
    before = keys(leader)
    for damaged in (archive[:-20], b"nonsense", damage_a_record(archive)):
        for server in (leader, first):
            answer = server.ask("PUT", "/v1/snapshot", damaged)
            assert answer.status == 500
            assert b"snapshot" in answer.body
    for server in (leader, first, second):
        assert keys(server) == before
    assert first.ask("PUT", "/v1/snapshot", archive).status == 200


def damage_a_record(archive: bytes) -> bytes:
    """An archive that holds together, but for one record in it."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    state = contents["state.bin"] + b"\x03\x90"
    meta = json.dumps({**json.loads(contents["meta.json"]), "Size": len(state)}).encode()
    made = {"meta.json": meta, "state.bin": state}
    made["SHA256SUMS"] = "".join(f"{hashlib.sha256(made[name]).hexdigest()}  {name}\n" for name in made).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in made.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(packed.getvalue().rstrip(b"\0") + bytes(1024))


def test_a_real_consuls_archive_is_served_by_every_server_and_survives_their_restart(cluster: Cluster) -> None:
    leader, first, second = formed(cluster)
    own_nodes = {node["Node"] for node in leader.get("/v1/catalog/nodes")}
    answer = first.ask("PUT", "/v1/snapshot", (DATA / "consul-1.10.11.snap").read_bytes())
    assert (answer.status, answer.body) == (200, b"")
    told = {
        entry["Key"]: (base64.b64decode(entry["Value"] or ""), entry["ModifyIndex"])
        for entry in ANSWERS["/v1/kv/?recurse"]
    }
    for server in (leader, first, second):
        wait_for(lambda server=server: keys(server) == told, f"the archive's keys on {server.name}")  # type: ignore[misc]
        assert server.get("/v1/catalog/service/web?stale") == ANSWERS["/v1/catalog/service/web"]
    names = {node["Node"] for node in first.get("/v1/catalog/nodes")}
    assert own_nodes <= names  # the leader has brought its own quorum back before it answered
    assert {"n0", "n1", "n2", "n3", "n4"} <= names
    assert "does not act on: FederationState (1)" in leader.log_text()
    assert leader.ask("PUT", "/v1/kv/new", b"1").status == 200
    assert keys(leader)["new"][1] > 228

    after = keys(leader)
    for server in (leader, first, second):
        server.kill()
    for server in (leader, first, second):
        server.start()
    for server in (leader, first, second):
        wait_for(lambda server=server: keys(server) == after, f"the same keys on {server.name}")  # type: ignore[misc]


COMPACTING = {
    "raft_snapshot_threshold": 8,
    "raft_snapshot_interval": "100ms",
    "raft_trailing_logs": 1,
    "store": {"disk": {"segment_bytes": 4096}},
}


@pytest.mark.parametrize("config", [{}, COMPACTING], ids=["by the log", "by a snapshot"])
def test_a_server_that_was_away_during_a_restore_follows_it(cluster: Cluster, config: dict[str, Any]) -> None:
    leader, first, second = formed(cluster, **config)
    assert leader.ask("PUT", "/v1/kv/a", b"1").status == 200
    archive = leader.ask("GET", "/v1/snapshot").body
    assert leader.ask("PUT", "/v1/kv/b", b"2").status == 200
    second.kill()
    assert first.ask("PUT", "/v1/snapshot", (DATA / "consul-1.10.11.snap").read_bytes()).status == 200
    assert first.ask("PUT", "/v1/snapshot", archive).status == 200
    for number in range(20):
        assert first.ask("PUT", "/v1/kv/c", b"%d" % number * 500).status == 200
    if config:

        def have_compacted_again() -> bool:
            """A snapshot may cover all at once: entries come until there was another."""
            assert first.ask("PUT", "/v1/kv/c", b"more" * 500).status == 200
            return all(server.log_text().count("taken up to entry") > 1 for server in (leader, first))

        wait_for(have_compacted_again, "snapshots")
        for server in (leader, first):
            server.kill()  # so that it has no older entries in memory either
        for server in (leader, first):
            server.start()
    second.start()
    # Until it has heard from a leader it has others answer, so that its own index is what tells.
    wait_for(lambda: applied_index(second) >= applied_index(leader) > 1, "what the others have")
    assert list(keys(second)) == ["a", "c"]
    assert keys(second) == keys(leader) == keys(first)
    assert keys(second)["c"][1] > 228
    if config:
        assert "received from" in second.log_text()
        assert "state restored from snapshot" in second.log_text()


def test_another_datacenter_is_saved_and_restored_from_here(cluster: Cluster) -> None:
    (there,) = cluster.servers(1, prefix="t", datacenter="dc2")
    (here,) = cluster.servers(1, datacenter="dc1", retry_join_wan=[there.wan])
    for server in (here, there):
        server.wait_leader()
    wait_for(lambda: sorted(here.get("/v1/catalog/datacenters")) == ["dc1", "dc2"], "both datacenters")
    assert there.ask("PUT", "/v1/kv/theirs", b"1").status == 200
    archive = here.ask("GET", "/v1/snapshot?dc=dc2")
    assert archive.headers["x-consul-knownleader"] == "true"
    assert there.ask("DELETE", "/v1/kv/theirs").status == 200
    assert here.ask("PUT", "/v1/snapshot?dc=dc2", archive.body).status == 200
    assert list(keys(there)) == ["theirs"]
    assert keys(here) == {}
    unknown = here.ask("GET", "/v1/snapshot?dc=dc9")
    assert (unknown.status, unknown.body) == (500, b"No path to datacenter")


def test_a_consensus_without_elections_restores_too(cluster: Cluster) -> None:
    server = cluster.agent("s1", server=True, consensus={"solo": {}}).start()
    server.wait_leader()
    assert server.ask("PUT", "/v1/snapshot", (DATA / "consul-1.10.11.snap").read_bytes()).status == 200
    assert server.ask("PUT", "/v1/kv/new", b"1").status == 200
    before = keys(server)
    assert len(before) == 206
    assert before["new"][1] > 228
    server.kill()
    server.start()
    wait_for(lambda: keys(server) == before, "the same keys after a crash")
