"""`consul-kernel operator autopilot …`."""

from __future__ import annotations

import json

import pytest

from core.cli.conftest import Run
from core.cli.fake_http_agent import FakeHttpAgent

CONFIG = {
    "CleanupDeadServers": True,
    "LastContactThreshold": "200ms",
    "MaxTrailingLogs": 250,
    "MinQuorum": 0,
    "ServerStabilizationTime": "10s",
    "RedundancyZoneTag": "zone",
    "DisableUpgradeMigration": False,
    "UpgradeVersionTag": "",
    "CreateIndex": 4,
    "ModifyIndex": 7,
}
PATH = "/v1/operator/autopilot"
SERVER = {
    "ID": "i",
    "Name": "n",
    "Address": "10.0.0.1:8300",
    "NodeStatus": "alive",
    "Version": "1.10.11",
    "LastContact": "0s",
    "LastTerm": 2,
    "LastIndex": 9,
    "Healthy": True,
    "StableSince": "2017-03-06T22:07:51Z",
    "ReadReplica": False,
    "Status": "leader",
    "Meta": {"role": "consul", "acls": "0"},
    "NodeType": "voter",
}
STATE = {
    "Healthy": True,
    "FailureTolerance": 0,
    "OptimisticFailureTolerance": 0,
    "Servers": {"i": SERVER},
    "Leader": "i",
    "Voters": ["i"],
}


def test_the_configuration_is_shown_line_by_line(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer(f"GET {PATH}/configuration", CONFIG)
    ran = run("operator", "autopilot", "get-config")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "CleanupDeadServers = true\n"
        "LastContactThreshold = 200ms\n"
        "MaxTrailingLogs = 250\n"
        "MinQuorum = 0\n"
        "ServerStabilizationTime = 10s\n"
        'RedundancyZoneTag = "zone"\n'
        "DisableUpgradeMigration = false\n"
        'UpgradeVersionTag = ""\n'
    )


def test_only_what_is_given_changes_and_nobody_elses_change_is_lost(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer(f"GET {PATH}/configuration", CONFIG)
    http_agent.answer(f"PUT {PATH}/configuration?cas=7", True)
    arguments = ("-cleanup-dead-servers=false", "-min-quorum", "3", "-server-stabilization-time=20s")
    ran = run("operator", "autopilot", "set-config", *arguments)
    assert (ran.code, ran.out) == (0, "Configuration updated!\n")
    kept = {name: value for name, value in CONFIG.items() if not name.endswith("Index")}
    changed = {"CleanupDeadServers": False, "MinQuorum": 3, "ServerStabilizationTime": "20s"}
    assert json.loads(http_agent.asked[-1].body) == kept | changed
    http_agent.answer(f"PUT {PATH}/configuration?cas=7", False)
    ran = run("operator", "autopilot", "set-config", "-min-quorum=1")
    assert (ran.code, ran.err) == (1, "Configuration could not be atomically updated, please try again\n")


def test_the_state_is_shown_as_consul_shows_it(run: Run, http_agent: FakeHttpAgent) -> None:
    http_agent.answer(f"GET {PATH}/state", STATE)
    ran = run("operator", "autopilot", "state")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "Healthy:                      true\n"
        "Failure Tolerance:            0\n"
        "Optimistic Failure Tolerance: 0\n"
        "Leader:                       i\n"
        "Voters:\n"
        "   i\n"
        "Servers:\n"
        "   i\n"
        "      Name:              n\n"
        "      Address:           10.0.0.1:8300\n"
        "      Version:           1.10.11\n"
        "      Status:            leader\n"
        "      Node Type:         voter\n"
        "      Node Status:       alive\n"
        "      Healthy:           true\n"
        "      Last Contact:      0s\n"
        "      Last Term:         2\n"
        "      Last Index:        9\n"
        "      Meta\n"
        '         "acls": "0"\n'
        '         "role": "consul"\n'
    )
    assert json.loads(run("operator", "autopilot", "state", "-format=json").out) == STATE
    assert run("operator", "autopilot", "state", "-format=xml").err == "Invalid output format: xml\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("get-config", "Error querying Autopilot configuration: "),
        ("set-config", "Error querying Autopilot configuration: "),
        ("state", "Error querying Autopilot state: "),
    ],
)
def test_what_the_agent_refuses_is_said(run: Run, http_agent: FakeHttpAgent, command: str, said: str) -> None:
    ran = run("operator", "autopilot", command)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"{said}Unexpected response code: 500 (nobody said what to answer)\n"
    assert run("operator", "autopilot", command, "x").err == "Too many arguments (expected 0, got 1)\n"
