"""`consul-kernel maint`."""

from __future__ import annotations

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent

SELF = {"Config": {"NodeName": "n1"}}
CHECKS = {
    "_node_maintenance": {"Notes": "new disk", "ServiceID": ""},
    "_service_maintenance:web": {"Notes": "upgrade", "ServiceID": "web"},
    "other": {"Notes": "no maintenance", "ServiceID": ""},
}


def test_what_is_out_of_service_is_listed(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("GET /v1/agent/self", SELF)
    http_agent.answer("GET /v1/agent/checks", CHECKS)
    ran = run("maint")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == ("Node:\n  Name:   n1\n  Reason: new disk\n\nService:\n  ID:     web\n  Reason: upgrade\n\n")


@pytest.mark.parametrize(
    ("arguments", "target", "text"),
    [
        (
            ("-enable", "-reason", "new disk"),
            "/v1/agent/maintenance?enable=true&reason=new+disk",
            "Node maintenance is now enabled",
        ),
        (("-disable",), "/v1/agent/maintenance?enable=false", "Node maintenance is now disabled"),
        (
            ("-enable", "-service", "web"),
            "/v1/agent/service/maintenance/web?enable=true",
            'Service maintenance is now enabled for "web"',
        ),
        (
            ("-disable", "-service", "web"),
            "/v1/agent/service/maintenance/web?enable=false",
            'Service maintenance is now disabled for "web"',
        ),
    ],
)
def test_on_and_off(run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], target: str, text: str) -> None:
    http_agent.answer(f"PUT {target}", b"")
    ran = run("maint", *arguments)
    assert (ran.code, ran.out, ran.err) == (0, f"{text}\n", "")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-enable", "-disable"), "Only one of -enable or -disable may be provided"),
        (("-reason", "x"), "Reason may only be provided with -enable"),
        (("-disable", "-reason", "x"), "Reason may only be provided with -enable"),
        (("-service", "x"), "-service requires either -enable or -disable"),
    ],
)
def test_what_contradicts_itself_is_refused(
    run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], text: str
) -> None:
    ran = run("maint", *arguments)
    assert (ran.code, ran.err) == (1, f"{text}\n")
    assert not http_agent.asked


def test_a_refusal_is_told(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer("PUT /v1/agent/service/maintenance/x?enable=true", b"No service", 404)
    ran = run("maint", "-enable", "-service", "x")
    assert (ran.code, ran.err) == (
        1,
        "Error enabling service maintenance: Unexpected response code: 404 (No service)\n",
    )
