"""`consul-kernel config …`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent

ENTRY = {"Kind": "service-defaults", "Name": "web", "Protocol": "http"}
HCL = """
Kind = "service-resolver"
Name = "web"
Subsets = { v1 = { Filter = "Service.Meta.v == 1" } }
"""


@pytest.mark.parametrize("suffix", ["json", "hcl"])
def test_writing_a_file(run: Run, http_agent: FakeHttpAgent, tmp_path: Path, suffix: str) -> None:
    http_agent.answer("PUT /v1/config", True)
    path = tmp_path / f"entry.{suffix}"
    path.write_text(json.dumps(ENTRY) if suffix == "json" else HCL)
    ran = run("config", "write", str(path))
    kind = "service-defaults" if suffix == "json" else "service-resolver"
    assert (ran.code, ran.out, ran.err) == (0, f"Config entry written: {kind}/web\n", "")
    sent = json.loads(http_agent.asked[-1].body)
    assert sent == ENTRY if suffix == "json" else sent["Subsets"]["v1"] == {"Filter": "Service.Meta.v == 1"}


def test_check_and_set_from_standard_input(
    run: Run, http_agent: FakeHttpAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    http_agent.answer("PUT /v1/config?cas=7", False)
    monkeypatch.setattr("sys.stdin", io.StringIO('{"kind": "mesh"}'))
    ran = run("config", "write", "-cas", "-modify-index=7", "-")
    assert (ran.code, ran.err) == (1, "Config entry not updated: mesh/mesh\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Failed to decode config entry input: "),
        ("Kind = ", "Failed to decode config entry input: "),
        ("{}", "Failed to decode config entry input: Payload does not contain a kind/Kind key at the top level\n"),
        (json.dumps(ENTRY), "Error writing config entry service-defaults/web: Unexpected response code: 500 "),
    ],
)
def test_what_cannot_be_written(run: Run, http_agent: FakeHttpAgent, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "entry"
    path.write_text(text)
    ran = run("config", "write", str(path))
    assert (ran.code, ran.err.startswith(said)) == (1, True), ran.err


def test_reading_listing_and_deleting(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/config/service-defaults/web", ENTRY)
    http_agent.answer("GET /v1/config/service-defaults?stale=", [ENTRY, {**ENTRY, "Name": "db"}])
    http_agent.answer("GET /v1/config/mesh", [{"Kind": "mesh"}])
    http_agent.answer("DELETE /v1/config/service-defaults/web", {})
    one = ("-kind", "service-defaults", "-name", "web")
    ran = run("config", "read", *one)
    assert (ran.code, ran.out) == (0, json.dumps(ENTRY, indent=4) + "\n")
    assert run("config", "list", "-stale", "-kind=service-defaults").out == "web\ndb\n"
    assert run("config", "list", "-kind=mesh").out == "mesh\n"
    assert run("config", "delete", *one).out == "Config entry deleted: service-defaults/web\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("write",), "Must provide exactly one positional argument to specify the config entry to write\n"),
        (("write", "/no/such/file"), "Failed to load data: "),
        (("read",), "Must specify the -kind parameter\n"),
        (("read", "-kind=a"), "Must specify the -name parameter\n"),
        (("list",), "Must specify the -kind parameter\n"),
        (("delete", "-kind=a"), "Must specify the -name parameter\n"),
        (("delete", "x"), "Too many arguments (expected 0, got 1)\n"),
        (("read", "-kind=a", "-name=b"), "Error reading config entry a/b: Unexpected response code: 500 "),
        (("list", "-kind=a"), "Error listing config entries of kind a: Unexpected response code: 500 "),
        (("delete", "-kind=a", "-name=b"), "Error deleting config entry a/b: Unexpected response code: 500 "),
    ],
)
def test_complaints(run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], said: str) -> None:
    ran = run("config", *arguments)
    assert (ran.code, ran.err.startswith(said)) == (1, True), ran.err
