"""A real Serf agent in the pool: both sides see the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.agents import AgentProcess, Cluster
from harness.serf import SERF, SerfAgent
from harness.waiting import wait_for

pytestmark = pytest.mark.skipif(SERF is None, reason="Debian's serf is not installed on this machine")


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
