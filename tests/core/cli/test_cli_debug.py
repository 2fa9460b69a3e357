"""`consul-kernel debug`."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from consul_kernel.cli.commands import debug
from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent

HOST, MEMBERS, METRICS = {"Memory": {"total": 1}}, [{"Name": "n1"}], {"Timestamp": "now", "Gauges": []}


@pytest.fixture
def agent(http_agent: FakeHttpAgent, monkeypatch: pytest.MonkeyPatch) -> FakeHttpAgent:
    """An agent without profiles, and a command whose times may be short."""
    monkeypatch.setattr(debug, "_MIN_INTERVAL_NS", 1)
    monkeypatch.setattr(debug, "_MIN_DURATION_NS", 1)
    monkeypatch.setattr(debug, "_GRACE_NS", 0)
    describe(http_agent, enable_debug=False)
    http_agent.answer("GET /v1/agent/host", HOST)
    http_agent.answer("GET /v1/agent/members?wan=1", MEMBERS)
    http_agent.answer("GET /v1/agent/metrics", METRICS)
    http_agent.answer("GET /v1/agent/monitor?loglevel=TRACE", b"a line\nanother\n")
    return http_agent


def describe(agent: FakeHttpAgent, *, enable_debug: bool) -> dict[str, Any]:
    document = {"Config": {"Version": "1.10.11"}, "DebugConfig": {"EnableDebug": enable_debug}}
    agent.answer("GET /v1/agent/self", document)
    return document


def files(archive: Path) -> dict[str, bytes]:
    """What is in an archive, by its path without the folder's name."""
    found = {}
    with tarfile.open(archive, "r:gz") as tar:
        for item in tar.getmembers():
            opened = tar.extractfile(item)
            if opened is not None:
                found[item.name.partition("/")[2]] = opened.read()
    return found


def test_everything_is_in_the_archive(run: Run, agent: FakeHttpAgent, tmp_path: Path) -> None:
    output = tmp_path / "d"
    ran = run("debug", "-interval", "20ms", "-duration=70ms", "-output", str(output))
    assert ran.code == 0, ran.err
    assert ran.err == f"==> {debug._NO_PROFILES}\n"
    assert "     Agent Version: '1.10.11'\n          Interval: '20ms'\n          Duration: '70ms'\n" in ran.out
    assert f"            Output: '{output}.tar.gz'\n" in ran.out
    assert "           Capture: 'metrics, logs, host, agent, members'\n" in ran.out
    assert ran.out.endswith(f"    Saved debug archive: {output}.tar.gz\n")
    assert not output.exists()
    found = files(tmp_path / "d.tar.gz")
    assert sorted(found) == ["agent.json", "consul.log", "host.json", "index.json", "members.json", "metrics.json"]
    assert json.loads(found["host.json"]) == HOST
    assert json.loads(found["members.json"]) == MEMBERS
    assert found["consul.log"] == b"a line\nanother\n"
    assert [json.loads(line) for line in found["metrics.json"].splitlines()] == [METRICS] * 4
    assert json.loads(found["index.json"]) == {
        "Version": 1,
        "AgentVersion": "1.10.11",
        "Interval": "20ms",
        "Duration": "70ms",
        "Targets": ["metrics", "logs", "host", "agent", "members"],
    }


def test_some_of_it_in_a_folder(run: Run, agent: FakeHttpAgent, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "d"
    ran = run("debug", "-capture=cluster", "-capture", "host", "-archive=false", "-output", str(output))
    assert (ran.code, ran.err) == (0, "")
    assert sorted(path.name for path in output.iterdir()) == ["host.json", "index.json", "members.json"]
    assert "GET /v1/agent/metrics" not in agent.targets()
    assert not list(tmp_path.glob("**/*.tar.gz"))


def test_profiles_of_an_agent_that_allows_them(run: Run, agent: FakeHttpAgent, tmp_path: Path) -> None:
    describe(agent, enable_debug=True)
    for profile in ("heap", "goroutine", "profile?seconds=0", "trace?seconds=0"):
        agent.answer(f"GET /debug/pprof/{profile}", f"<{profile}>".encode())
    output = tmp_path / "d"
    ran = run("debug", "-capture", "pprof", "-interval=50ms", "-duration=50ms", "-output", str(output))
    assert (ran.code, ran.err) == (0, "")
    found = files(tmp_path / "d.tar.gz")
    assert found["profile.prof"] == b"<profile?seconds=0>"
    assert found["trace.out"] == b"<trace?seconds=0>"
    assert {name.rpartition("/")[2] for name in found} >= {"heap.prof", "goroutine.prof", "index.json"}


def test_what_fails_is_told_and_the_rest_is_kept(run: Run, agent: FakeHttpAgent, tmp_path: Path) -> None:
    for path in ("host", "metrics", "monitor?loglevel=TRACE"):
        agent.answer(f"GET /v1/agent/{path}", b"no such luck", 500)
    ran = run("debug", "-interval=50ms", "-duration=50ms", "-output", str(tmp_path / "d"))
    assert ran.code == 0
    assert "==> Static capture failed: host: Unexpected response code: 500 (no such luck)" in ran.err
    assert "==> Error encountered during collection: metrics: Unexpected response code: 500" in ran.err
    assert "==> Error encountered during collection: consul.log: Unexpected response code: 500" in ran.err
    assert sorted(files(tmp_path / "d.tar.gz")) == ["agent.json", "index.json", "members.json"]


def test_an_interrupt_keeps_what_there_is(
    run: Run, agent: FakeHttpAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("consul_kernel.cli.commands.debug.time.sleep", interrupt)
    ran = run("debug", "-output", str(tmp_path / "d"))
    assert ran.code == 0
    assert "stopping collection due to shutdown signal" in ran.err
    assert "metrics.json" in files(tmp_path / "d.tar.gz")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("-duration", "9s"), "Capture validation failed: duration must be longer than 10s"),
        (("-interval", "4s"), "Capture validation failed: interval must be longer than 5s"),
        (
            ("-interval", "1m", "-duration", "30s"),
            "Capture validation failed: duration (30s) must be longer than interval (1m0s)",
        ),
        (("-capture", "secrets"), "Capture validation failed: target not found: secrets"),
        (("-output", "."), "Capture validation failed: output directory already exists: ."),
        (("more",), "debug: Too many arguments provided, expected 0"),
    ],
)
def test_what_cannot_be_is_refused(
    run: Run,
    http_agent: FakeHttpAgent,
    arguments: tuple[str, ...],
    error: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    describe(http_agent, enable_debug=False)
    ran = run("debug", *arguments)
    assert ran.code == 1
    assert ran.err.endswith(f"==> {error}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_duration_that_is_none_is_a_bad_flag(run: Run, http_agent: FakeHttpAgent) -> None:
    ran = run("debug", "-interval", "often")
    assert ran.code == 1
    assert 'invalid value "often" for flag -interval: parse error' in ran.err


def test_an_agent_that_is_not_there(run: Run, tmp_path: Path) -> None:
    ran = run("debug", "-http-addr", "127.0.0.1:1", "-output", str(tmp_path / "d"))
    assert ran.code == 1
    assert "Capture validation failed: error querying target agent: " in ran.err
    assert ran.err.endswith("verify connectivity and agent address\n")
