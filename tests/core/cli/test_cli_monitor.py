"""`consul-kernel monitor`."""

from __future__ import annotations

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ((), "/v1/agent/monitor?loglevel=INFO"),
        (("-log-level", "debug", "-log-json"), "/v1/agent/monitor?loglevel=debug&logjson="),
    ],
)
def test_lines_are_shown_until_the_agent_ends(
    run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], target: str
) -> None:
    http_agent.answer(f"GET {target}", b"one\ntwo\n")
    ran = run("monitor", *arguments)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("one\ntwo\n")
    assert "Remote side ended the monitor!" in ran.out


def test_a_level_that_is_none_is_told(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/agent/monitor?loglevel=odd", b"Bad request: Unknown log level: odd", 400)
    ran = run("monitor", "-log-level", "odd")
    assert ran.code == 1
    assert ran.err.startswith("Error starting monitor: ")
    assert "Unknown log level: odd" in ran.err
