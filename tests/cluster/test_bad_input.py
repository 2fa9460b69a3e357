"""Bad input gets a clear message or Consul's status, and the agent stays up."""

from __future__ import annotations

import base64
import random
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.agents import AgentProcess, Cluster, command, free_ports
from harness.waiting import wait_for

GOOD = 'server = true\nbootstrap = true\nbind_addr = "127.0.0.1"\n'
START_TIMEOUT_S = 20


def refusal(tmp_path: Path, text: str, *, suffix: str = "hcl") -> str:
    """What an agent says that refuses to start with this file."""
    file = tmp_path / f"agent.{suffix}"
    file.write_text(text)
    ran = subprocess.run(
        [*command(), "agent", "-config-file", str(file)],
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stdout + ran.stderr


def test_broken_hcl_is_refused_with_file_and_line(tmp_path: Path) -> None:
    said = refusal(tmp_path, 'datacenter = "dc1"\nnode_name = {{{\n')
    assert re.search(r"agent\.hcl:2", said)


def test_broken_json_is_refused_with_file_and_line(tmp_path: Path) -> None:
    said = refusal(tmp_path, '{"datacenter": "dc1",\n "node_name": }\n', suffix="json")
    assert re.search(r"agent\.json:2", said)


def test_all_mistakes_are_shown_at_once(tmp_path: Path) -> None:
    said = refusal(
        tmp_path,
        GOOD + f'data_dir = "{tmp_path}/data"\nretry_joinn = []\nports {{\n  htp = 1\n}}\nraft_multiplier = "x"\n',
    )
    assert 'did you mean "retry_join"' in said
    assert "agent.hcl:5" in said
    assert "agent.hcl:7" in said


def test_a_server_without_data_dir_is_refused(tmp_path: Path) -> None:
    assert "data_dir" in refusal(tmp_path, GOOD)


def test_an_unknown_plugin_is_refused_by_name(tmp_path: Path) -> None:
    said = refusal(tmp_path, GOOD + f'data_dir = "{tmp_path}/data"\nstore "dsk" {{}}\n')
    assert "'dsk'" in said
    assert "'disk'" in said


@pytest.mark.parametrize("key", ["c2hvcnQ=", "not base64!"])
def test_a_bad_gossip_key_is_refused(tmp_path: Path, key: str) -> None:
    assert "encrypt" in refusal(tmp_path, GOOD + f'data_dir = "{tmp_path}/data"\nencrypt = "{key}"\n')


def test_acls_are_refused_rather_than_ignored(tmp_path: Path) -> None:
    assert "acl" in refusal(tmp_path, GOOD + f'data_dir = "{tmp_path}/data"\nacl {{\n  enabled = true\n}}\n')


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    http, dns, lan, server = free_ports(4)
    with socket.create_server(("127.0.0.1", http)):
        said = refusal(
            tmp_path,
            GOOD + f'data_dir = "{tmp_path}/data"\n'
            f"ports {{\n http = {http}\n dns = {dns}\n serf_lan = {lan}\n server = {server}\n serf_wan = -1\n}}\n",
        )
    assert str(http) in said
    assert "in use" in said


@pytest.fixture
def server(cluster: Cluster) -> Iterator[AgentProcess]:
    """One running server."""
    agent = cluster.agent("solo", server=True, bootstrap=True).start()
    agent.wait_leader()
    wait_for(lambda: agent.ask("PUT", "/v1/kv/alive", "yes").json is True, "a first write")
    yield agent
    assert agent.running, "the agent died"
    assert agent.ask("GET", "/v1/kv/alive?raw").body == b"yes"
    assert agent.ask("PUT", "/v1/kv/alive", "still").json is True
    assert "Traceback" not in agent.log_text()


def test_garbage_on_every_port(server: AgentProcess) -> None:
    rng = random.Random(11)
    addresses = [
        server.http.split(":"),
        [str(part) for part in server.dns],
        server.lan.split(":"),
        [str(part) for part in server.rpc],
    ]
    for host, port in addresses:
        for first in (*range(16), 22, 71, 80, 127, 128, 200, 244, 255):
            garbage = bytes([first]) + rng.randbytes(rng.randrange(0, 1200))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
                packets.sendto(garbage, (host, int(port)))
            with socket.create_connection((host, int(port)), timeout=5) as stream:
                try:
                    stream.sendall(garbage)
                    stream.shutdown(socket.SHUT_WR)
                except OSError:
                    continue  # closed at once: that is an answer


def test_wrong_requests(server: AgentProcess) -> None:
    assert server.ask("GET", "/v1/nope").status == 404
    assert server.ask("PATCH", "/v1/kv/a", "x").status == 405
    assert server.ask("PUT", "/v1/kv/big", b"x" * (512 * 1024 + 1)).status == 413
    assert server.ask("PUT", "/v1/kv/largest", b"x" * (512 * 1024)).json is True
    assert server.ask("PUT", "/v1/catalog/register", "{bad").status == 400
    assert server.ask("GET", "/v1/kv/alive?index=x").status == 400
    assert server.ask("GET", "/v1/kv/alive?dc=nowhere").status == 500
    assert server.ask("GET", "/v1/kv/" + "k" * 4000).status in (404, 414)


def test_a_wrong_gossip_key_keeps_strangers_out(cluster: Cluster) -> None:
    def key(fill: bytes) -> str:
        return base64.b64encode(fill * 32).decode()

    server = cluster.agent("solo", server=True, bootstrap=True, encrypt=key(b"a")).start()
    friend = cluster.client("friend", [server], encrypt=key(b"a"))
    stranger = cluster.client("stranger", [server], encrypt=key(b"b"))
    plain = cluster.client("plain", [server])
    wait_for(lambda: len(server.get("/v1/agent/members")) == 2, "the friend among the members")
    for outsider in (stranger, plain):
        wait_for(lambda outsider=outsider: "join failed" in outsider.log_text(), "a refused join")  # type: ignore[misc]
        assert outsider.running
        assert len(outsider.get("/v1/agent/members")) == 1
    assert {member["Name"] for member in server.get("/v1/agent/members")} == {"solo", "friend"}
    assert friend.get("/v1/status/leader")
