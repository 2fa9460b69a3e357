"""`consul-kernel watch`: a program that is run each time, by a real agent."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.agents import AgentProcess, Cluster, command, environment
from harness.waiting import wait_for

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def agent(cluster: Cluster) -> AgentProcess:
    made = cluster.agent("solo", server=True, bootstrap=True).start()
    made.wait_leader()
    return made


@contextmanager
def watching(agent: AgentProcess, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*command(), "watch", f"-http-addr={agent.http}", *arguments], env={**environment(), "SHELL": "/bin/sh"}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_each_change_is_handed_over_until_a_signal_comes(agent: AgentProcess, tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    def values() -> list[str | None]:
        lines = seen.read_text().splitlines() if seen.exists() else []
        return [found and found[0]["Value"] for found in map(json.loads, lines)]

    with watching(agent, "-type=keyprefix", "-prefix=app/", f"cat >> {seen}") as process:
        wait_for(lambda: values() == [None], "what there is at the start")
        for value, expected in ((b"a", [None, "YQ=="]), (b"b", [None, "YQ==", "Yg=="])):
            assert agent.ask("PUT", "/v1/kv/app/x", value).status == 200
            assert agent.ask("PUT", "/v1/kv/other", value).status == 200
            wait_for(lambda expected=expected: values() == expected, "the change")  # type: ignore[misc]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert len(values()) == 3


def test_a_signal_ends_the_program_too(agent: AgentProcess, tmp_path: Path) -> None:
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    script = f"trap 'touch {ended}; exit' TERM; touch {begun}; while true; do sleep 0.05; done"
    with watching(agent, "-type=services", script) as process:
        wait_for(begun.exists, "the program")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert ended.exists()
