"""`consul-kernel keyring`."""

from __future__ import annotations

import json

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent

PATH = "/v1/operator/keyring"
POOLS = [
    {"WAN": True, "Datacenter": "dc1", "Segment": "", "Keys": {"a=": 1}, "PrimaryKeys": {"a=": 1}, "NumNodes": 1},
    {
        "WAN": False,
        "Datacenter": "dc1",
        "Segment": "",
        "Messages": {"n2": "truncated key list response, showing first 1 of 2 keys"},
        "Keys": {"b=": 2, "a=": 3},
        "PrimaryKeys": {"a=": 2, "b=": 1},
        "NumNodes": 3,
    },
]


def test_keys_are_listed_pool_by_pool(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer(f"GET {PATH}", POOLS)
    ran = run("keyring", "-list")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "==> Gathering installed encryption keys...\n"
        "\nWAN:\n  a= [1/1]\n"
        "\ndc1 (LAN):\n"
        "  ===> n2: truncated key list response, showing first 1 of 2 keys\n"
        "  a= [3/3]\n  b= [2/3]\n"
    )
    assert run("keyring", "-list-primary").out == (
        "==> Gathering installed primary encryption keys...\n"
        "\nWAN:\n  a= [1/1]\n"
        "\ndc1 (LAN):\n"
        "  ===> n2: truncated key list response, showing first 1 of 2 keys\n"
        "  a= [2/3]\n  b= [1/3]\n"
    )


def test_a_list_may_be_local_and_relayed(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer(f"GET {PATH}?relay-factor=3&local-only=true", [{**POOLS[1], "Segment": "s", "Messages": None}])
    ran = run("keyring", "-list", "-local-only", "-relay-factor", "3")
    assert (ran.code, ran.out.splitlines()[2]) == (0, "dc1 (LAN) [s]:")


@pytest.mark.parametrize(
    ("flag", "method", "said"),
    [
        ("install", "POST", "Installing new gossip encryption key..."),
        ("use", "PUT", "Changing primary gossip encryption key..."),
        ("remove", "DELETE", "Removing gossip encryption key..."),
    ],
)
def test_changes_send_the_key(run: Run, http_agent: FakeHttpAgent, flag: str, method: str, said: str) -> None:
    http_agent.answer(f"{method} {PATH}?relay-factor=5", b"")
    ran = run("keyring", f"-{flag}", "a=", "-relay-factor=5")
    assert (ran.code, ran.out, ran.err) == (0, f"==> {said}\n", "")
    assert json.loads(http_agent.asked[-1].body) == {"Key": "a="}
    http_agent.answer(f"{method} {PATH}", b"2 errors occurred:\n\t* WAN error: x\n\t* n: y\n\n", 500)
    ran = run("keyring", f"-{flag}", "a=")
    assert ran.code == 1
    assert ran.err == ("error: Unexpected response code: 500 (2 errors occurred:\n\t* WAN error: x\n\t* n: y)\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-list", "-use", "a="), "Only a single action is allowed"),
        (("-install", "a=", "-remove", "a="), "Only a single action is allowed"),
        (("-list", "-relay-factor", "6"), "Error parsing relay factor: Relay factor must be in range: [0, 5]"),
        (("-list", "-relay-factor=-1"), "Error parsing relay factor: Relay factor must be in range: [0, 5]"),
        (
            ("-use", "a=", "-local-only"),
            "Error validating local-only: local-only can only be set for list requests",
        ),
        (("-list", "more"), "Too many arguments (expected 0, got 1)"),
    ],
)
def test_mistakes_are_told_before_anybody_is_asked(
    run: Run, http_agent: FakeHttpAgent, arguments: tuple[str, ...], said: str
) -> None:
    ran = run("keyring", *arguments)
    assert (ran.code, ran.out, ran.err) == (1, "", f"{said}\n")
    assert not http_agent.asked


def test_without_an_action_the_help_is_shown(run: Run, http_agent: FakeHttpAgent) -> None:
    ran = run("keyring")
    assert ran.code == 1
    assert ran.err.startswith("Usage: consul-kernel keyring [options]\n")
    assert not http_agent.asked
