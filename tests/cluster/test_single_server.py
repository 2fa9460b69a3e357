"""One persisted server: what it acknowledged outlives any crash, and it starts in no time."""

from __future__ import annotations

import threading
import time

import pytest

from harness.agents import Cluster
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

CRASHES = 20
WRITERS = 4
START_BUDGET_S = 5.0


class Writers:
    """Threads that write keys one after the other and remember which were acknowledged."""

    def __init__(self, agent: object, crash: int) -> None:
        self._agent = agent
        self._crash = crash
        self._stop = threading.Event()
        self.acknowledged: list[str] = []
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            key = f"crash/{self._crash}/{writer}/{number}"
            try:
                answer = self._agent.ask("PUT", f"/v1/kv/{key}", key)  # type: ignore[attr-defined]
            except OSError:
                return
            if answer.status == 200 and answer.json is True:
                self.acknowledged.append(key)
            number += 1

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_kill_under_load_twenty_times_loses_nothing(cluster: Cluster) -> None:
    server = cluster.agent("solo", server=True, bootstrap=True).start()
    acknowledged: list[str] = []
    for crash in range(CRASHES):
        server.wait_leader()
        writers = Writers(server, crash)
        wait_for(lambda writers=writers: len(writers.acknowledged) > 20, "writes under way")  # type: ignore[misc]
        server.kill()
        writers.end()
        acknowledged += writers.acknowledged
        server.start()
    server.wait_leader()
    stored = set(wait_for(lambda: server.get("/v1/kv/crash/?keys"), "the keys"))
    lost = [key for key in acknowledged if key not in stored]
    assert not lost


def test_solo_and_raft_take_over_from_each_other_after_a_kill(cluster: Cluster) -> None:
    server = cluster.agent("solo", server=True, bootstrap=True)
    acknowledged: list[str] = []
    for turn, consensus in enumerate(("solo", "solo", "raft", "solo")):
        server.config["consensus"] = {consensus: {}}
        server.start().wait_leader()
        writers = Writers(server, turn)
        wait_for(lambda writers=writers: len(writers.acknowledged) > 20, "writes under way")  # type: ignore[misc]
        server.kill()
        writers.end()
        acknowledged += writers.acknowledged
    server.start().wait_leader()
    stored = set(wait_for(lambda: server.get("/v1/kv/crash/?keys"), "the keys"))
    assert not [key for key in acknowledged if key not in stored]


def test_solo_needs_no_bootstrap(cluster: Cluster) -> None:
    server = cluster.agent("solo", server=True, consensus={"solo": {}}).start()
    server.wait_leader()
    assert server.ask("PUT", "/v1/kv/first", "x").json is True
    assert server.get("/v1/agent/self")["Stats"]["consul"]["bootstrap"] == "true"
    assert server.end() == 0


def test_a_server_starts_and_answers_soon(cluster: Cluster) -> None:
    server = cluster.agent("solo", server=True, bootstrap=True)
    started_s = time.monotonic()
    server.start().wait_leader()
    wait_for(lambda: server.ask("PUT", "/v1/kv/first", "x").json is True, "the first write")
    assert time.monotonic() - started_s < START_BUDGET_S
    assert server.end() == 0


def test_registrations_outlive_a_restart(cluster: Cluster) -> None:
    server = cluster.agent("solo", server=True, bootstrap=True).start()
    server.wait_leader()
    definition = {"Name": "web", "Port": 80, "Check": {"TTL": "60s"}}
    assert server.ask("PUT", "/v1/agent/service/register", definition).status == 200
    assert server.ask("PUT", "/v1/agent/check/pass/service:web?note=fine").status == 200
    assert server.end() == 0
    server.start()
    check = wait_for(lambda: server.get("/v1/agent/checks"), "the check")["service:web"]
    assert (check["Status"], check["Output"]) == ("passing", "fine")
    server.wait_leader()
    wait_for(lambda: server.get("/v1/health/service/web?passing"), "web in the catalog")
