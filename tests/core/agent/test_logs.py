"""The log is lines, whatever names it tells of, and writing it never fails."""

from __future__ import annotations

import json
import logging
import sys

from consul_kernel.agent.logs import JsonFormatter, LineFormatter


def _record(message: str, *, fault: bool = False) -> logging.LogRecord:
    caught = None
    if fault:
        try:
            raise ValueError(message)
        except ValueError:
            caught = sys.exc_info()
    return logging.LogRecord(
        "consul_kernel.agent.local", logging.INFO, __file__, 1, "synced service %s", (message,), caught
    )


def test_a_name_cannot_forge_a_line() -> None:
    line = LineFormatter().format(_record("web\n2026-01-02 [ERROR] agent: all is lost\x1b[2J\x00"))
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.endswith(r"synced service web\n2026-01-02 [ERROR] agent: all is lost\x1b[2J\x00")


def test_readable_names_stay_as_they_are() -> None:
    assert LineFormatter().format(_record("wéb-サービス")).endswith("agent.local: synced service wéb-サービス")


def test_text_that_no_encoding_takes_is_escaped() -> None:
    for fault in (False, True):
        line = LineFormatter().format(_record("x\ud800", fault=fault))
        assert r"synced service x\ud800" in line
        assert line.encode()
        document = json.loads(JsonFormatter().format(_record("x\ud800\n", fault=fault)))
        assert document["@message"] == "synced service x\\ud800\n"
