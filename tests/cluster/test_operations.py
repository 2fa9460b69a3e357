"""What operators do with servers, and what the servers do by themselves, with real processes."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.agents import AgentProcess, Cluster, command, environment
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

PACE_S = 0.02
"""Between two writes of a writer: enough of them at every moment, without keeping the machine busy."""
QUICK: dict[str, Any] = {
    "autopilot": {"server_stabilization_time": "1s"},
    "performance": {"raft_multiplier": 1, "leave_drain_time": "100ms"},
    "leave_on_terminate": True,
}


def peers(agent: AgentProcess) -> dict[str, bool]:
    """The servers of the quorum by name, and whether each has a vote."""
    found = agent.get("/v1/operator/raft/configuration")["Servers"]
    return {server["Node"]: server["Voter"] for server in found}


def formed(cluster: Cluster) -> list[AgentProcess]:
    servers = cluster.servers(3, **QUICK)
    for server in servers:
        server.config["retry_join"] = [other.lan for other in servers]
        server.wait_leader()
    wait_for(lambda: servers[0].get("/v1/operator/autopilot/state")["FailureTolerance"] == 1, "three healthy servers")
    return servers


def run(agent: AgentProcess, *arguments: str) -> str:
    """The output of a command that asks this agent."""
    ran = subprocess.run(
        [*command(), *arguments, f"-http-addr={agent.http}"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


class Writers:
    """Threads that write keys through whichever server answers, and remember which were acknowledged."""

    def __init__(self, agents: list[AgentProcess], count: int = 2) -> None:
        self.agents = agents
        self.acknowledged: list[str] = []
        self.longest_gap_s = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _write(self, writer: int) -> None:
        number, last_s = 0, time.monotonic()
        while not self._stop.wait(PACE_S):
            key = f"load/{writer}/{number}"
            number += 1
            agents = [agent for agent in self.agents if agent.running]
            try:
                answer = agents[number % len(agents)].ask("PUT", f"/v1/kv/{key}", key, timeout_s=5)
            except (OSError, ZeroDivisionError):
                continue
            if answer.status == 200 and answer.json is True:
                self.acknowledged.append(key)
                now_s = time.monotonic()
                self.longest_gap_s, last_s = max(self.longest_gap_s, now_s - last_s), now_s

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_leadership_is_handed_to_whom_the_operator_names(cluster: Cluster) -> None:
    servers = formed(cluster)
    leader = cluster.leader()
    target = next(server for server in servers if server is not leader)
    target_id = target.get("/v1/agent/self")["Config"]["NodeID"]
    assert run(servers[2], "operator", "raft", "transfer-leader", f"-id={target_id}") == "Success\n"
    assert cluster.leader() is target
    assert servers[0].ask("PUT", "/v1/kv/after", "x").json is True
    listed = run(servers[0], "operator", "raft", "list-peers").splitlines()
    assert listed[0].split() == ["Node", "ID", "Address", "State", "Voter", "RaftProtocol"]
    assert [line.split()[0] for line in listed if " leader " in line] == [target.name]


def test_a_dead_server_is_removed_and_gets_its_vote_again_when_it_is_back(cluster: Cluster) -> None:
    servers = formed(cluster)
    leader = cluster.leader()
    dead = next(server for server in servers if server is not leader)
    dead.kill()
    wait_for(lambda: dead.name not in peers(leader), "the dead server out of the quorum", timeout_s=60)
    wait_for(lambda: leader.ask("GET", "/v1/operator/autopilot/health").status == 200, "two healthy servers")
    assert leader.get("/v1/operator/autopilot/health")["FailureTolerance"] == 0
    assert leader.ask("PUT", "/v1/kv/meanwhile", "x").json is True
    dead.config["retry_join"] = [leader.lan]  # it may have died before it wrote down whom it knew
    dead.start()
    wait_for(lambda: peers(leader).get(dead.name) is True, "its vote", timeout_s=60)
    assert dead.get("/v1/kv/meanwhile?stale")


def test_all_servers_are_replaced_one_by_one_under_load(cluster: Cluster) -> None:
    servers = formed(cluster)
    writers = Writers(list(servers))
    try:
        for number, old in enumerate(list(servers), 4):
            new = cluster.agent(f"s{number}", server=True, retry_join=[servers[-1].lan, servers[1].lan], **QUICK)
            servers.append(new.start())
            wait_for(lambda new=new: peers(servers[-1]).get(new.name) is True, f"{new.name}'s vote", timeout_s=60)  # type: ignore[misc]
            writers.agents.append(new)
            writers.agents.remove(old)
            assert old.end() == 0
            wait_for(lambda old=old: old.name not in peers(servers[-1]), f"{old.name} gone", timeout_s=30)  # type: ignore[misc]
    finally:
        writers.end()
    left = servers[3:]
    assert peers(left[0]) == {server.name: True for server in left}
    stored = set(left[0].get("/v1/kv/load?keys&consistent"))
    assert len(writers.acknowledged) > 100
    assert not [key for key in writers.acknowledged if key not in stored]
    assert writers.longest_gap_s < 5


def test_more_servers_than_expected_start_at_once_and_found_one_quorum(cluster: Cluster) -> None:
    servers = [cluster.agent(f"s{number}", server=True, bootstrap_expect=3, **QUICK) for number in range(1, 6)]
    for server in servers:
        server.config["retry_join"] = [servers[0].lan, servers[-1].lan]
        server.start()
    leaders = {server.wait_leader(timeout_s=60) for server in servers}
    assert len(leaders) == 1
    everybody = {server.name: True for server in servers}
    wait_for(lambda: peers(servers[0]) == everybody, "a vote for each", timeout_s=60)
    assert servers[3].ask("PUT", "/v1/kv/one", "x").json is True
    for server in servers:
        wait_for(lambda server=server: server.get("/v1/kv/one?stale"), f"the write on {server.name}")  # type: ignore[misc]


def test_the_one_that_is_left_goes_on_by_a_file_and_others_join_it(cluster: Cluster) -> None:
    servers = formed(cluster)
    left = next(server for server in servers if server is not cluster.leader())
    left_id = left.get("/v1/agent/self")["Config"]["NodeID"]
    assert servers[0].ask("PUT", "/v1/kv/kept", "x").json is True
    wait_for(lambda: left.get("/v1/kv/kept?stale"), "the write on the server that will be left")
    for server in servers:
        assert server.process is not None
        server.process.kill()  # all at once, so that none is a majority with the next
    for server in servers:
        server.kill()
    file = Path(left.config["data_dir"]) / "raft" / "peers.json"
    file.write_text(json.dumps([{"id": left_id, "address": f"{left.rpc[0]}:{left.rpc[1]}"}]))
    left.start()
    left.wait_leader()
    assert peers(left) == {left.name: True}
    assert not file.exists()
    assert left.get("/v1/kv/kept?consistent")
    assert left.ask("PUT", "/v1/kv/after", "x").json is True
    new = cluster.agent("s4", server=True, retry_join=[left.lan], **QUICK).start()
    wait_for(lambda: peers(left) == {left.name: True, new.name: True}, "a vote for the new one", timeout_s=60)
    assert new.get("/v1/kv/after?stale")
