"""`lock`: what is refused before anything is asked."""

from __future__ import annotations

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "Key prefix and child command must be specified"),
        (("app",), "Key prefix and child command must be specified"),
        (("-n=0", "app", "true"), "Lock holder limit must be positive"),
        (("-monitor-retry=-1", "app", "true"), "Number for 'monitor-retry' must be >= 0"),
        (("-try=soon", "app", "true"), "Error parsing duration for 'try' option: time: invalid duration \"soon\""),
        (("-try=-1s", "app", "true"), "Duration for 'try' option must be positive"),
        (("/", "true"), "Key prefix must not be empty"),
    ],
)
def test_arguments_that_make_no_sense(
    run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], text: str
) -> None:
    ran = run("lock", *arguments)
    assert (ran.code, ran.err) == (1, f"{text}\n")
    assert http_agent.asked == []
