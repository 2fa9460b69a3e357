"""Sealed gossip between real processes: with a Serf agent in the pool, and through a change of the key."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.agents import AgentProcess, Cluster
from harness.serf import SERF, SerfAgent
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(SERF is None, reason="Debian's serf is not installed on this machine"),
]

OLD = base64.b64encode(bytes(range(16))).decode()
NEW = base64.b64encode(bytes(range(32))).decode()
KEYRING = "/v1/operator/keyring"
ALIVE = 1
TRAFFIC_PAUSE_S = 0.05


class SealedPool:
    """A server and two clients that seal with `aes-gcm`, and a Serf agent with the same key."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        self._cluster = cluster
        self.server = self.agent("s1", server=True, bootstrap=True).start()
        self.agents = [self.server]
        for name in ("c1", "c2"):
            self.agents.append(self.agent(name, retry_join=[self.server.lan]).start())
        self.serf_keyring = home / "serf.keyring"
        self.serf_keyring.write_text(json.dumps([OLD]))
        self.serf = SerfAgent(home, "serf", self.server.lan, f"-keyring-file={self.serf_keyring}")

    def agent(self, name: str, key: str = OLD, **config: Any) -> AgentProcess:
        return self._cluster.agent(name, cipher={"aes-gcm": {}}, encrypt=key, **config)

    def wait_formed(self) -> None:
        self.server.wait_leader()
        names = {agent.name for agent in self.agents} | {"serf"}
        for agent in self.agents:
            wait_for(lambda agent=agent: statuses(agent) == dict.fromkeys(names, ALIVE), f"all for {agent.name}")  # type: ignore[misc]
        wait_for(lambda: self.serf.members() == dict.fromkeys(names, "alive"), "all for serf")

    def close(self) -> None:
        self.serf.close()


@pytest.fixture
def pool(cluster: Cluster, tmp_path: Path) -> Iterator[SealedPool]:
    made = SealedPool(cluster, tmp_path)
    yield made
    made.close()


def statuses(agent: AgentProcess) -> dict[str, int]:
    return {member["Name"]: member["Status"] for member in agent.get("/v1/agent/members")}


def gossip(agent: AgentProcess) -> dict[str, str]:
    found: dict[str, str] = agent.get("/v1/agent/self")["Stats"]["serf_lan"]
    return found


def kept(agent: AgentProcess, name: str = "local") -> list[str]:
    found: list[str] = json.loads((agent.home / "data" / "serf" / f"{name}.keyring").read_text())
    return found


def lan_keys(server: AgentProcess) -> dict[str, int]:
    (lan,) = [pool for pool in server.get(KEYRING) if not pool["WAN"]]
    found: dict[str, int] = lan["Keys"]
    return found


@contextmanager
def traffic(agents: Sequence[AgentProcess]) -> Iterator[list[str]]:
    """Writes, reads, events and looks at the members through every agent; what goes wrong is noted in the list."""
    faults: list[str] = []
    done = threading.Event()
    rounds = dict.fromkeys((agent.name for agent in agents), 0)

    def work(agent: AgentProcess) -> None:
        while not done.wait(TRAFFIC_PAUSE_S):
            try:
                for method, path in (
                    ("PUT", f"/v1/kv/{agent.name}"),
                    ("GET", f"/v1/kv/{agent.name}"),
                    ("PUT", "/v1/event/fire/tick"),
                ):
                    answer = agent.ask(method, path, "x" if method == "PUT" else None)
                    if answer.status != 200:
                        faults.append(f"{agent.name}: {method} {path}: {answer.status} {answer.body!r}")
                lost = {name: status for name, status in statuses(agent).items() if status != ALIVE}
                if lost:
                    faults.append(f"{agent.name} lost {lost}")
            except OSError as error:
                faults.append(f"{agent.name}: {error}")
            rounds[agent.name] += 1

    threads = [threading.Thread(target=work, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    try:
        yield faults
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert min(rounds.values()) > 3, rounds


def test_agents_and_serf_share_a_sealed_pool(pool: SealedPool) -> None:
    pool.wait_formed()
    assert gossip(pool.server)["encrypted"] == "true"
    assert lan_keys(pool.server) == {OLD: 4}
    pool.serf.command("event", "from-serf", "payload")
    assert pool.server.ask("PUT", "/v1/event/fire/from-kernel", "payload").status == 200
    wait_for(lambda: "from-kernel" in pool.serf.log.read_text(errors="replace"), "the event at serf")
    for operation, key, ring in (("install", NEW, [OLD, NEW]), ("use", NEW, [NEW, OLD]), ("remove", OLD, [NEW])):
        pool.serf.command("keys", f"-{operation}", key)
        for agent in pool.agents:
            assert kept(agent) == ring, (agent.name, operation)
    assert NEW in pool.serf.command("keys", "-list")
    for agent in pool.agents:
        assert "packets_refused" not in gossip(agent), agent.name
    pool.serf.leave()
    for agent in pool.agents:
        wait_for(lambda agent=agent: statuses(agent)["serf"] == 3, f"serf left for {agent.name}")  # type: ignore[misc]


def test_the_key_is_changed_under_traffic_and_nobody_is_lost(pool: SealedPool) -> None:
    pool.wait_formed()
    with traffic(pool.agents) as faults:
        for method, key in (("POST", NEW), ("PUT", NEW), ("DELETE", OLD)):
            answer = pool.server.ask(method, KEYRING, {"Key": key}, timeout_s=30)
            assert (answer.status, answer.body) == (200, b"")
            if method == "POST":
                assert lan_keys(pool.server) == {OLD: 4, NEW: 4}
    assert not faults
    assert lan_keys(pool.server) == {NEW: 4}
    assert pool.serf.members() == dict.fromkeys(("s1", "c1", "c2", "serf"), "alive")
    for agent in pool.agents:
        assert kept(agent) == [NEW], agent.name
        assert "packets_refused" not in gossip(agent), agent.name
    own = pool.server.home / "data" / "serf" / "local.keyring"
    assert own.read_text() == pool.serf_keyring.read_text() == f'[\n  "{NEW}"\n]'

    # What was kept goes before the agent file, which still has the old key.
    client = pool.agents[1]
    client.end()
    client.start()
    pool.wait_formed()
    assert "keyring doesn't include key provided with -encrypt, using keyring: keyring=LAN" in client.log_text()

    stranger = pool.agent("stranger", retry_join=[pool.server.lan]).start()
    wait_for(lambda: int(gossip(pool.server).get("streams_refused", 0)) > 0, "the stranger refused")
    assert set(statuses(stranger)) == {"stranger"}
    assert "stranger" not in statuses(pool.server)
    answer = pool.server.ask("DELETE", KEYRING, {"Key": NEW})
    assert (answer.status, b"Removing the primary key is not allowed" in answer.body) == (500, True)
    assert lan_keys(pool.server) == {NEW: 4}


def test_the_key_is_changed_in_every_datacenter_at_once(cluster: Cluster) -> None:
    config: dict[str, Any] = {"server": True, "bootstrap": True, "encrypt": OLD}
    first = cluster.agent("a1", **config).start()
    second = cluster.agent("b1", datacenter="dc2", retry_join_wan=[first.wan], **config).start()
    for server in (first, second):
        server.wait_leader()
        wait_for(lambda server=server: len(server.get("/v1/catalog/datacenters")) == 2, "both datacenters")  # type: ignore[misc]

    def pools(path: str = KEYRING) -> list[tuple[str, dict[str, int], int]]:
        return [
            ("WAN" if pool["WAN"] else pool["Datacenter"], pool["Keys"], pool["NumNodes"]) for pool in first.get(path)
        ]

    assert pools() == [("WAN", {OLD: 2}, 2), ("dc1", {OLD: 1}, 1), ("dc2", {OLD: 1}, 1)]
    for method, key in (("POST", NEW), ("PUT", NEW), ("DELETE", OLD)):
        answer = second.ask(method, KEYRING, {"Key": key}, timeout_s=30)
        assert (answer.status, answer.body) == (200, b"")
    assert pools() == [("WAN", {NEW: 2}, 2), ("dc1", {NEW: 1}, 1), ("dc2", {NEW: 1}, 1)]
    assert pools(f"{KEYRING}?local-only=true&dc=dc2") == [("dc2", {NEW: 1}, 1)]
    for server in (first, second):
        for name in ("local", "remote"):
            assert kept(server, name) == [NEW], (server.name, name)
