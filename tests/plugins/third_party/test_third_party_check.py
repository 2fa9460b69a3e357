"""A third party's kind of check, installed with pip, in service definitions of a whole agent."""

from __future__ import annotations

import contextlib
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for

KIT = Path(__file__).parent / "run_redis_kit.py"


class RedisHandler(socketserver.StreamRequestHandler):
    """Knows SELECT of two databases, and PING."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            match line.split():
                case [b"SELECT", (b"0" | b"1")]:
                    self.wfile.write(b"+OK\r\n")
                case [b"PING"]:
                    self.wfile.write(b"+PONG\r\n")
                case _:
                    self.wfile.write(b"-ERR DB index is out of range\r\n")


class RedisServer(socketserver.ThreadingTCPServer):
    """As much of a Redis server as is probed; its port may be used again at once."""

    allow_reuse_address = True
    daemon_threads = True


@contextlib.contextmanager
def redis_server(port: int = 0) -> Iterator[int]:
    """Serves until the end of the block; its port."""
    with RedisServer(("127.0.0.1", port), RedisHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


Start = Callable[..., AgentProcess]


@pytest.fixture
def start(cluster: Cluster, third_party_python: Path) -> Start:
    """Starts a server that has the plugin, with further keys."""

    def start_agent(**config: Any) -> AgentProcess:
        agent = cluster.agent("a1", python=str(third_party_python), server=True, bootstrap=True, **config).start()
        agent.wait_leader()
        return agent

    return start_agent


def check(agent: AgentProcess, check_id: str) -> dict[str, Any]:
    found: dict[str, Any] = agent.get("/v1/agent/checks")[check_id]
    return found


def wait_status(agent: AgentProcess, check_id: str, status: str) -> dict[str, Any]:
    def reached() -> bool:
        now = check(agent, check_id)
        return bool(now["Status"] == status and now["Output"])

    wait_for(reached, f"{check_id} to be {status}")
    return check(agent, check_id)


def definition(port: int, **changes: Any) -> dict[str, Any]:
    return {"redis_ping": f"127.0.0.1:{port}", "redis_database": 1, "interval": "1s", **changes}


def test_it_is_chosen_by_its_key_in_files_and_over_http(start: Start) -> None:
    with redis_server() as port:
        agent = start(service={"name": "cache", "port": port, "check": definition(port)})
        found = wait_status(agent, "service:cache", "passing")
        assert (found["Type"], found["Output"]) == ("redis", "PING: +PONG")
        entry = wait_for(lambda: agent.get("/v1/health/service/cache?passing"), "the catalog to have it")[0]
        assert {one["CheckID"] for one in entry["Checks"]} == {"serfHealth", "service:cache"}

        body = {"Name": "second", "Checks": [{"CheckID": "s2", "RedisPing": f"127.0.0.1:{port}", "RedisDatabase": 2}]}
        refused = agent.ask("PUT", "/v1/agent/service/register", body)
        assert (refused.status, refused.body) == (
            400,
            b"Invalid check: Interval must be > 0 for Script, HTTP, H2PING, or TCP checks",
        )
        body["Checks"][0]["Interval"] = "1s"  # type: ignore[index]
        assert agent.ask("PUT", "/v1/agent/service/register", body).status == 200
        assert wait_status(agent, "s2", "critical")["Output"] == "SELECT 2: -ERR DB index is out of range"
    assert "connection refused" in wait_status(agent, "service:cache", "critical")["Output"].lower()


TWO_KINDS = "are two kinds of check, and a definition has one"
REFUSED: list[tuple[dict[str, str | int], str]] = [
    ({"redis_databse": 1}, 'Request decode failed: json: unknown field "redis_databse"'),
    ({"RedisDatabase": "1"}, "Request decode failed: RedisDatabase: expected a whole number, got a text in quotes"),
    ({"redis_ping": "nowhere"}, "Invalid check: redis_ping has no port"),
    (
        {"http": "http://127.0.0.1:1/"},
        f"Request decode failed: Invalid check: `redis_ping` and `http` {TWO_KINDS}",
    ),
]


def test_what_makes_no_sense_is_refused(start: Start) -> None:
    agent = start()
    for changes, text in REFUSED:
        body: dict[str, Any] = {"name": "c", "redis_ping": "127.0.0.1:1", "interval": "1s", **changes}
        answer = agent.ask("PUT", "/v1/agent/check/register", body)
        assert (answer.status, answer.body.decode()) == (400, text)
    assert agent.get("/v1/agent/checks") == {}


MISSPELT = """\
check {
  name        = "c"
  redis_pingg = "127.0.0.1:1"
  interval    = "1s"
}
service {
  name = "s"
  check {
    redis_ping    = "127.0.0.1:1"
    redis_databse = 1
    interval      = "1s"
  }
}
"""


def test_agent_files_are_told_the_nearest_key(cluster: Cluster, third_party_python: Path, tmp_path: Path) -> None:
    file = tmp_path / "checks.hcl"
    file.write_text(MISSPELT)
    ran = subprocess.run(
        [third_party_python, "-m", "consul_kernel.cli.main", "validate", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    said = [line.removeprefix(f"Config validation failed: {file}") for line in ran.stderr.splitlines()]
    assert ':3: checks[0].redis_pingg: unknown key; did you mean "redis_ping"?' in said
    assert ':10: services[0].check.redis_databse: unknown key; did you mean "redis_database"?' in said


def test_a_registration_outlives_its_plugin(start: Start, cluster: Cluster) -> None:
    """Without it the check is critical and says why; with it again, it goes on as if nothing had been."""
    with redis_server() as port:
        agent = start()
        body = {"ID": "c1", "Name": "cache", "RedisPing": f"127.0.0.1:{port}", "Interval": "1s", "Notes": "kept"}
        assert agent.ask("PUT", "/v1/agent/check/register", body).status == 200
        wait_status(agent, "c1", "passing")
        with_plugin = agent.python
        agent.end()

        agent.python = sys.executable
        agent.start().wait_leader()
        found = wait_status(agent, "c1", "critical")
        assert (found["Type"], found["Notes"]) == ("redis_ping", "kept")
        assert found["Output"].startswith("this check cannot be carried out: no check plugin named 'redis_ping'")
        agent.end()

        agent.python = with_plugin
        agent.start().wait_leader()
        assert wait_status(agent, "c1", "passing")["Type"] == "redis"


def test_it_keeps_the_contract(third_party_python: Path) -> None:
    """The kit, against the installed package."""
    done = subprocess.run([third_party_python, KIT], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 checks passed" in done.stdout
