"""Starting, stopping and asking agent processes."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from .http import Answer, request
from .waiting import wait_for

STOP_TIMEOUT_S = 15.0
FIRST_PORT, LAST_PORT, WORKERS_MAX = 12_000, 32_000, 8


def _own_ports() -> Iterator[int]:
    """Ports for this process of the test run, each once: an agent that is down keeps its ports from the others."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS_MAX
    share = (LAST_PORT - FIRST_PORT) // WORKERS_MAX
    start = FIRST_PORT + worker * share
    while True:
        yield from random.sample(range(start, start + share), share)


_ports = _own_ports()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free for TCP and UDP, below those of outgoing connections."""
    return list(islice(filter(_is_free, _ports), count))


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def command() -> list[str]:
    """How the agent under test is run."""
    return [sys.executable, "-m", "consul_kernel.cli.main"]


def environment() -> dict[str, str]:
    """Ours; with compiled modules kept somewhere, since compiling them takes half of an agent's start."""
    variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if variables.pop("PYTHONDONTWRITEBYTECODE", ""):
        variables["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / f"consul-kernel-tests-{os.getuid()}")
    return variables


class AgentProcess:
    """One agent: its file, its ports, its process, its log. Restarting keeps file, ports and data."""

    def __init__(
        self,
        home: Path,
        name: str,
        config: dict[str, Any],
        *,
        python: str = sys.executable,
        prefix: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.home = home / name
        self.home.mkdir(parents=True, exist_ok=True)
        self.python = python
        self.prefix = prefix
        http, dns, lan, wan, server = free_ports(5)
        self.http = f"127.0.0.1:{http}"
        self.dns = ("127.0.0.1", dns)
        self.lan = f"127.0.0.1:{lan}"
        self.wan = f"127.0.0.1:{wan}"
        self.rpc = ("127.0.0.1", server)
        self.config: dict[str, Any] = {
            "node_name": name,
            "data_dir": str(self.home / "data"),
            "bind_addr": "127.0.0.1",
            "retry_interval": "200ms",
            "retry_interval_wan": "200ms",
            "ports": {"http": http, "dns": dns, "serf_lan": lan, "serf_wan": wan, "server": server},
            "performance": {"raft_multiplier": 1},
            **config,
        }
        self.log = self.home / "log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        """The agent file."""
        return self.home / "agent.json"

    def start(self, *, extra: Sequence[str] = ()) -> AgentProcess:
        """Run it; does not wait until it answers."""
        self.file.write_text(json.dumps(self.config, indent=1))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.prefix,
                    *(self.python, "-m", "consul_kernel.cli.main", "agent", "-config-file", str(self.file)),
                    *extra,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
            )
        return self

    def ask(self, method: str, path: str, body: Any = None, *, timeout_s: float = 10.0) -> Answer:
        """One HTTP request."""
        return request(self.http, method, path, body, timeout_s=timeout_s)

    def get(self, path: str) -> Any:
        """The JSON of a GET; OSError for another status than 200, so that it can be waited for."""
        answer = self.ask("GET", path)
        if answer.status != 200:
            raise OSError(f"{path}: {answer.status} {answer.body[:200]!r}")
        return answer.json

    def wait_leader(self, *, timeout_s: float = 30.0) -> str:
        """The leader's address, once there is one."""
        return str(
            wait_for(lambda: self.get("/v1/status/leader"), f"a leader, asked of {self.name}", timeout_s=timeout_s)
        )

    def is_leader(self) -> bool:
        """Whether this server leads, by its own word."""
        return bool(self.get("/v1/agent/self")["Stats"]["consul"]["leader"] == "true")

    def kill(self) -> None:
        """End it as a crash would."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end within {STOP_TIMEOUT_S} s after {number.name}") from None
        self.process = None
        return code

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def log_text(self) -> str:
        """All it has said."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Cluster:
    """The agents of one test; ended with it, their logs shown when it failed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.agents: list[AgentProcess] = []

    def agent(self, name: str, *, python: str = sys.executable, **config: Any) -> AgentProcess:
        """An agent that is not started yet."""
        agent = AgentProcess(self.home, name, config, python=python)
        self.agents.append(agent)
        return agent

    def servers(self, count: int, *, prefix: str = "s", **config: Any) -> list[AgentProcess]:
        """Servers that expect one another, started."""
        made = [self.agent(f"{prefix}{n}", server=True, bootstrap_expect=count, **config) for n in range(1, count + 1)]
        for server in made:
            server.config["retry_join"] = [made[0].lan]
            server.start()
        return made

    def client(self, name: str, servers: Sequence[AgentProcess], **config: Any) -> AgentProcess:
        """A client of these servers, started."""
        return self.agent(name, retry_join=[server.lan for server in servers], **config).start()

    def leader(self, *, timeout_s: float = 30.0) -> AgentProcess:
        """The server that leads, once exactly one living server says so."""

        def find() -> AgentProcess | None:
            leading = []
            for agent in self.agents:
                if agent.running and agent.config.get("server"):
                    try:
                        if agent.is_leader():
                            leading.append(agent)
                    except OSError:
                        continue
            return leading[0] if len(leading) == 1 else None

        return wait_for(find, "one leader", timeout_s=timeout_s)  # type: ignore[return-value]

    def close(self) -> None:
        """End every process."""
        for agent in self.agents:
            if agent.running:
                agent.kill()

    def logs(self) -> str:
        """Everybody's log."""
        return "\n".join(f"=== {agent.name}\n{agent.log_text()}" for agent in self.agents)
