"""`consul-kernel reload`."""

from __future__ import annotations

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent


def test_the_agent_is_asked(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/agent/reload", b"")
    ran = run("reload")
    assert (ran.code, ran.out, ran.err) == (0, "Configuration reload triggered\n", "")


def test_what_is_wrong_with_the_files_is_shown(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/agent/reload", b"agent.hcl:3: nodename: unknown key", 500)
    ran = run("reload")
    assert ran.code == 1
    assert ran.err.startswith("Error reloading: ")
    assert "agent.hcl:3: nodename" in ran.err


def test_it_takes_no_arguments(run: Run, http_agent: FakeHttpAgent) -> None:
    assert run("reload", "x").code == 1
    assert not http_agent.asked
