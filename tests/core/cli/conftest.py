"""A fake agent, and a command line that talks to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from consul_kernel.cli.main import main
from core.cli.fake_http_agent import FakeHttpAgent, serving


@dataclass
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def http_agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHttpAgent]:
    with serving() as agent:
        monkeypatch.setenv("CONSUL_HTTP_ADDR", agent.address)
        yield agent


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in this process."""
    for name in ("CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_SSL", "CONSUL_HTTP_AUTH"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Ran:
        code = main(arguments)
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
