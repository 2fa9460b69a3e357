"""A real Serf agent in the pool: both sides see the same."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.agents import AgentProcess, Cluster, free_ports
from harness.waiting import wait_for

SERF = shutil.which("serf")
pytestmark = pytest.mark.skipif(SERF is None, reason="Debian's serf is not installed on this machine")


class SerfAgent:
    """A `serf agent` process and its command line."""

    def __init__(self, home: Path, name: str, join: str) -> None:
        assert SERF is not None
        self._serf = SERF
        lan, rpc = free_ports(2)
        self._rpc = f"-rpc-addr=127.0.0.1:{rpc}"
        self._log = (home / f"{name}.log").open("wb")
        self.process = subprocess.Popen(
            [
                self._serf, "agent", f"-node={name}", f"-bind=127.0.0.1:{lan}", self._rpc,
                f"-retry-join={join}", "-retry-interval=1s", "-tag", "role=web",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def members(self) -> dict[str, str]:
        """Status by name, as Serf sees it."""
        ran = subprocess.run(
            [self._serf, "members", self._rpc, "-format=json"], capture_output=True, timeout=10, check=False
        )
        if ran.returncode:
            raise OSError(ran.stderr.decode())
        return {member["name"]: member["status"] for member in json.loads(ran.stdout)["members"]}

    def leave(self) -> None:
        """A graceful leave."""
        subprocess.run([self._serf, "leave", self._rpc], capture_output=True, timeout=20, check=True)
        self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._log.close()


@pytest.fixture
def agent(cluster: Cluster) -> AgentProcess:
    made = cluster.agent("kernel", server=True, bootstrap=True).start()
    made.wait_leader()
    return made


@pytest.fixture
def serf(agent: AgentProcess, tmp_path: Path) -> Iterator[SerfAgent]:
    made = SerfAgent(tmp_path, "serf", agent.lan)
    yield made
    made.close()


def statuses(agent: AgentProcess) -> dict[str, int]:
    return {member["Name"]: member["Status"] for member in agent.get("/v1/agent/members")}


def test_both_sides_list_each_other_as_alive(agent: AgentProcess, serf: SerfAgent) -> None:
    wait_for(lambda: statuses(agent) == {"kernel": 1, "serf": 1}, "serf alive for the agent")
    wait_for(lambda: serf.members() == {"kernel": "alive", "serf": "alive"}, "the agent alive for serf")
    web = next(member for member in agent.get("/v1/agent/members") if member["Name"] == "serf")
    assert web["Tags"]["role"] == "web"
    assert [node["Node"] for node in agent.get("/v1/catalog/nodes")] == ["kernel"]


def test_a_leave_of_serf_is_seen_as_left(agent: AgentProcess, serf: SerfAgent) -> None:
    wait_for(lambda: statuses(agent).get("serf") == 1, "serf alive for the agent")
    serf.leave()
    wait_for(lambda: statuses(agent).get("serf") == 3, "serf left for the agent")


def test_a_kill_of_the_agent_is_seen_as_failed(agent: AgentProcess, serf: SerfAgent) -> None:
    wait_for(lambda: serf.members().get("kernel") == "alive", "the agent alive for serf")
    agent.kill()
    wait_for(lambda: serf.members().get("kernel") == "failed", "the agent failed for serf", timeout_s=40)
