"""A third party's store under a whole agent: named in the agent file, it serves what the default one serves."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for


def kv_conversation(agent: AgentProcess) -> list[tuple[int, Any]]:
    """The same requests of the key-value API, and what came back, without what differs from run to run."""
    requests = [
        ("PUT", "/v1/kv/app/a", "1"),
        ("PUT", "/v1/kv/app/b?flags=42", "2"),
        ("PUT", "/v1/kv/app/a?cas=0", "lost"),
        ("GET", "/v1/kv/app/a", None),
        ("GET", "/v1/kv/app/?recurse", None),
        ("GET", "/v1/kv/app/?keys&separator=/", None),
        ("GET", "/v1/kv/app/b?raw", None),
        ("DELETE", "/v1/kv/app/a", None),
        ("GET", "/v1/kv/app/a", None),
        ("DELETE", "/v1/kv/app/?recurse", None),
        ("GET", "/v1/kv/app/?keys", None),
    ]
    answers: list[tuple[int, Any]] = []
    for method, path, body in requests:
        answer = agent.ask(method, path, body)
        answers.append((answer.status, _without_indexes(answer.body)))
    return answers


def _without_indexes(body: bytes) -> Any:
    try:
        document = json.loads(body)
    except ValueError:
        return body
    if isinstance(document, list) and document and isinstance(document[0], dict):
        return [{key: value for key, value in entry.items() if not key.endswith("Index")} for entry in document]
    return document


def test_it_serves_the_same_requests_as_the_default(cluster: Cluster, third_party_python: Path) -> None:
    seen = []
    parts: dict[str, dict[str, Any]] = {"toy": {"toy": {}}, "default": {"disk": {}}, "memory": {"memory": {}}}
    for name, store in parts.items():
        agent = cluster.agent(name, python=str(third_party_python), server=True, bootstrap=True, store=store).start()
        agent.wait_leader()
        wait_for(lambda agent=agent: agent.ask("PUT", "/v1/kv/ready", "yes").json is True, "a first write")  # type: ignore[misc]
        seen.append(kv_conversation(agent))
        assert f"store={next(iter(store))}" in agent.log_text()
    assert seen[0] == seen[1] == seen[2]
    statuses = [status for status, _ in seen[0]]
    assert statuses == [200, 200, 200, 200, 200, 200, 200, 200, 404, 200, 404]


def test_what_it_stored_is_there_after_a_crash(cluster: Cluster, third_party_python: Path) -> None:
    agent = cluster.agent("toy", python=str(third_party_python), server=True, bootstrap=True, store={"toy": {}}).start()
    agent.wait_leader()
    wait_for(lambda: agent.ask("PUT", "/v1/kv/kept", "yes").json is True, "a first write")
    agent.kill()
    agent.start().wait_leader()
    entry = wait_for(lambda: agent.get("/v1/kv/kept"), "the key")[0]
    assert base64.b64decode(entry["Value"]) == b"yes"


def test_a_broken_plugin_stops_the_start_only_when_it_is_named(cluster: Cluster, third_party_python: Path) -> None:
    harmless = cluster.agent("harmless", python=str(third_party_python), server=True, bootstrap=True).start()
    harmless.wait_leader()

    named = cluster.agent("named", python=str(third_party_python), server=True, bootstrap=True, store={"broken": {}})
    named.start()
    assert named.process is not None
    assert named.process.wait(30) == 1
    said = named.log_text()
    assert "broken-consul-store" in said.replace("_", "-")
    assert "failed to load" in said
    assert "Traceback" not in said


def test_plugins_lists_them_with_versions(third_party_python: Path) -> None:
    ran = subprocess.run(
        [str(third_party_python), "-m", "consul_kernel.cli.main", "plugins"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    rows = [line.split() for line in ran.stdout.splitlines()]
    for kind, name in (("store", "toy"), ("store", "broken"), ("store", "disk"), ("transport", "tcp")):
        assert any(kind in row and name in row for row in rows), ran.stdout
