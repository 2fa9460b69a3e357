"""`consul-kernel watch`."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent

KEY = {"Key": "a", "CreateIndex": 2, "ModifyIndex": 3, "LockIndex": 0, "Flags": 0, "Value": "eA==", "Session": ""}
SELF = "GET /v1/agent/self"


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The command takes signals over; here it is not the whole process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def agent(http_agent: FakeHttpAgent) -> FakeHttpAgent:
    http_agent.answer(SELF, {})
    http_agent.headers["X-Consul-Index"] = "7"
    return http_agent


def test_without_a_child_what_there_is_is_shown(run: Run, agent: FakeHttpAgent) -> None:
    agent.answer(f"{SELF}?dc=dc2&stale=", {})
    agent.answer("GET /v1/kv/a?dc=dc2&stale=", [KEY])
    ran = run("watch", "-type=key", "-key=a", "-datacenter=dc2", "-stale")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == json.dumps(KEY, indent=4) + "\n"


def test_what_is_not_there_is_null(run: Run, agent: FakeHttpAgent) -> None:
    agent.answer("GET /v1/kv/a?recurse=", b"", 404)
    assert run("watch", "-type", "keyprefix", "-prefix", "a").out == "null\n"


def test_all_that_may_be_said_of_a_service(run: Run, agent: FakeHttpAgent) -> None:
    agent.answer("GET /v1/health/service/web?tag=a&passing=1&filter=x", [])
    arguments = ("-type=service", "-service=web", "-tag=a", "-passingonly=true", "-filter=x")
    assert run("watch", *arguments).out == "[]\n"


@pytest.mark.parametrize("shell", [True, False])
def test_a_child_is_run_each_time_until_it_fails(run: Run, agent: FakeHttpAgent, tmp_path: Path, shell: bool) -> None:
    agent.answer("GET /v1/catalog/services", {"web": []})
    agent.answer("GET /v1/catalog/services?index=7&wait=48000ms", {"web": [], "db": []})
    seen = tmp_path / "seen"
    script = f"cat >> {seen}; echo $CONSUL_INDEX >> {seen}; test $(wc -l < {seen}) -lt 4 || exit 3"
    child = (script,) if shell else ("-shell=false", "/bin/sh", "-c", script)
    ran = run("watch", "-type=services", *child)
    assert (ran.code, ran.err) == (1, "Error executing handler: exit status 3\n")
    assert seen.read_text() == '{"web":[]}\n7\n{"db":[],"web":[]}\n7\n'


def test_a_child_that_cannot_be_run(run: Run, agent: FakeHttpAgent) -> None:
    agent.answer("GET /v1/catalog/nodes", [])
    ran = run("watch", "-type=nodes", "-shell=false", "/nowhere/at/all")
    assert ran.code == 1
    assert ran.err.startswith("Error executing handler: ")


def test_a_child_need_not_read(run: Run, agent: FakeHttpAgent) -> None:
    agent.answer("GET /v1/catalog/services", {f"service-{number}": ["tag"] * 100 for number in range(500)})
    ran = run("watch", "-type=services", "exit 4")
    assert (ran.code, ran.err) == (1, "Error executing handler: exit status 4\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "Watch type must be specified"),
        (("-type=odd",), "Unsupported watch type: odd"),
        (("-type=key",), "Must specify a single key to watch"),
        (("-type=nodes", "-key=a"), "Invalid parameters: [key]"),
        (
            ("-type=service", "-service=a", "-passingonly=x"),
            'Failed to parse passingonly flag: strconv.ParseBool: parsing "x": invalid syntax',
        ),
    ],
)
def test_what_cannot_be_watched(run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], text: str) -> None:
    ran = run("watch", *arguments)
    assert (ran.code, ran.err.strip()) == (1, text)
    assert http_agent.asked == []


def test_an_agent_that_refuses(run: Run, http_agent: FakeHttpAgent) -> None:
    ran = run("watch", "-type=nodes")
    assert ran.code == 1
    assert ran.err.startswith("Error querying Consul agent: Unexpected response code: 500")


def test_failures_later_on_are_waited_out(run: Run, agent: FakeHttpAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            agent.answer("GET /v1/catalog/nodes", [])

    monkeypatch.setattr("consul_kernel.cli.commands.watch.time.sleep", sleep)
    ran = run("watch", "-type=nodes")
    assert (ran.code, ran.out, waited) == (0, "[]\n", [5, 20])
    assert "Watch errored: Unexpected response code: 500" in ran.err
