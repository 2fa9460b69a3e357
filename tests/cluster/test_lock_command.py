"""`consul-kernel lock`: programs that take turns, or slots, by a real agent."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from harness.agents import AgentProcess, Cluster, command, environment
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def agent(cluster: Cluster) -> AgentProcess:
    made = cluster.agent("solo", server=True, bootstrap=True).start()
    made.wait_leader()
    wait_for(lambda: made.get("/v1/health/node/solo"), "the agent in the catalog")
    return made


class Locked:
    """One running `lock` command; its child appends to a file and waits to be let go by another."""

    def __init__(self, agent: AgentProcess, home: Path, name: str, *options: str, script: str = "") -> None:
        self.said, self.go = home / f"{name}.said", home / f"{name}.go"
        waits = f"echo $CONSUL_LOCK_HELD > {self.said}; while [ ! -e {self.go} ]; do sleep 0.05; done"
        self.process = subprocess.Popen(
            [*command(), "lock", f"-http-addr={agent.http}", "-verbose", *options, "app/lock", script or waits],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment(), "SHELL": "/bin/sh"},
            text=True,
        )

    def has_begun(self) -> bool:
        return self.said.exists() and self.said.read_text() == "true\n"

    def finish(self) -> tuple[int, str]:
        self.go.touch()
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


def test_a_lock_is_held_by_one_program_after_the_other(agent: AgentProcess, tmp_path: Path) -> None:
    first = Locked(agent, tmp_path, "first")
    wait_for(first.has_begun, "the first child")
    second = Locked(agent, tmp_path, "second")
    wait_for(lambda: len(agent.get("/v1/session/list")) == 2, "the second session")
    third = Locked(agent, tmp_path, "third", "-try=200ms")
    assert third.finish() == (1, "Shutdown triggered or timeout during lock acquisition\n")
    assert not second.has_begun()
    assert first.finish()[0] == 0
    wait_for(second.has_begun, "the second child")
    code, out = second.finish()
    assert (code, out) == (0, "Child terminated, releasing lock\nCleanup succeeded\n")
    assert agent.ask("GET", "/v1/kv/app/lock?recurse").status == 404
    assert agent.get("/v1/session/list") == []


def test_a_semaphore_has_so_many_slots(agent: AgentProcess, tmp_path: Path) -> None:
    running = [Locked(agent, tmp_path, f"slot{number}", "-n=2") for number in range(3)]

    def begun() -> list[Locked]:
        return [one for one in running if one.has_begun()]

    wait_for(lambda: len(begun()) == 2, "two children")
    wait_for(lambda: len(agent.get("/v1/kv/app/lock/?keys")) == 4, "the third contender")
    waiting = next(one for one in running if not one.has_begun())
    holder = begun()[0]
    assert holder.finish()[0] == 0
    wait_for(waiting.has_begun, "the third child")
    other = Locked(agent, tmp_path, "other", "-n=3")
    assert other.finish() == (1, "Lock acquisition failed: Semaphore limit conflict (lock: 2, local: 3)\n")
    for one in running:
        if one is not holder:
            assert one.finish()[0] == 0
    assert agent.ask("GET", "/v1/kv/app/lock?recurse").status == 404


def test_the_child_ends_with_the_lock_and_with_us(agent: AgentProcess, tmp_path: Path) -> None:
    for ending in ("session", "signal"):
        held = Locked(agent, tmp_path, ending)
        wait_for(held.has_begun, "the child")
        if ending == "session":
            session = agent.get("/v1/kv/app/lock/.lock")[0]["Session"]
            assert agent.ask("PUT", f"/v1/session/destroy/{session}").json is True
        else:
            held.process.terminate()
        out, _ = held.process.communicate(timeout=30)
        if ending == "session":
            assert out == "Lock lost, killing child\nLock release failed: Lock not held\n"
            assert held.process.returncode == 1
            assert agent.ask("DELETE", "/v1/kv/app/lock?recurse").json is True
        else:
            assert out == "Shutdown triggered, killing child\nCleanup succeeded\n"
            assert held.process.returncode == 0


def test_a_key_of_somebody_else_and_a_child_that_fails(agent: AgentProcess, tmp_path: Path) -> None:
    assert Locked(agent, tmp_path, "failing", "-child-exit-code", script="exit 3").finish()[0] == 2
    assert Locked(agent, tmp_path, "ignored", script="exit 3").finish()[0] == 0
    code, out = Locked(agent, tmp_path, "none", "-shell=false", script="/does/not/exist").finish()
    assert (code, "Error executing child" in out) == (1, True)
    assert agent.ask("PUT", "/v1/kv/app/lock/.lock", "mine").json is True
    started_s = time.monotonic()
    code, out = Locked(agent, tmp_path, "conflict").finish()
    assert (code, out) == (1, "Lock acquisition failed: Existing key does not match lock use\n")
    assert time.monotonic() - started_s < 30
