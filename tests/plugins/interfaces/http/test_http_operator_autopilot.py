"""`/v1/operator/autopilot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consul_kernel.structs.autopilot import (
    AutopilotConfig,
    AutopilotServer,
    AutopilotServerHealth,
    AutopilotServerState,
    AutopilotServerStats,
    AutopilotSetConfigRequest,
    AutopilotState,
    ClusterHealth,
    ServerHealth,
)
from consul_kernel.structs.go_time import pack_time
from consul_kernel.structs.methods import (
    OPERATOR_AUTOPILOT_GET_CONFIGURATION,
    OPERATOR_AUTOPILOT_SET_CONFIGURATION,
    OPERATOR_AUTOPILOT_STATE,
    OPERATOR_SERVER_HEALTH,
)

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

PATH = "/v1/operator/autopilot"
SINCE = pack_time(1_488_838_071_000_000_000)


async def test_the_configuration_is_shown_with_durations_as_text(site: Site) -> None:
    site.agent.answer(OPERATOR_AUTOPILOT_GET_CONFIGURATION, AutopilotConfig(create_index=4, modify_index=5))
    got = await site.get(f"{PATH}/configuration?stale")
    assert got.json == {
        "CleanupDeadServers": True,
        "LastContactThreshold": "200ms",
        "MaxTrailingLogs": 250,
        "MinQuorum": 0,
        "ServerStabilizationTime": "10s",
        "RedundancyZoneTag": "",
        "DisableUpgradeMigration": False,
        "UpgradeVersionTag": "",
        "CreateIndex": 4,
        "ModifyIndex": 5,
    }
    assert site.agent.requests(OPERATOR_AUTOPILOT_GET_CONFIGURATION)[0].allow_stale


@pytest.mark.parametrize(
    ("query", "index", "is_conditional"), [("", 0, False), ("?cas=7", 7, True), ("?cas=0", 0, True)]
)
async def test_the_configuration_is_replaced(site: Site, query: str, index: int, is_conditional: bool) -> None:
    site.agent.answer(OPERATOR_AUTOPILOT_SET_CONFIGURATION, True)
    body = {"cleanupdeadservers": False, "LastContactThreshold": "300ms", "MaxTrailingLogs": 500, "ModifyIndex": 99}
    got = await site.send("PUT", f"{PATH}/configuration{query}", body)
    assert (got.status, got.json) == (200, True)
    wanted = AutopilotConfig(
        cleanup_dead_servers=False, last_contact_threshold=300_000_000, max_trailing_logs=500, modify_index=index
    )
    assert site.agent.requests(OPERATOR_AUTOPILOT_SET_CONFIGURATION) == [
        AutopilotSetConfigRequest(datacenter="dc1", config=wanted, cas=is_conditional)
    ]


@pytest.mark.parametrize(
    ("query", "body", "said"),
    [
        ("?cas=x", {}, 'Error parsing cas value: strconv.ParseUint: parsing "x": invalid syntax'),
        ("", {"Bogus": 1}, 'Error parsing autopilot config: json: unknown field "Bogus"'),
        ("", {"LastContactThreshold": "soon"}, 'Error parsing autopilot config: time: invalid duration "soon"'),
        ("", {"MaxTrailingLogs": -1}, "Error parsing autopilot config: numbers and durations cannot be negative"),
    ],
)
async def test_what_cannot_be_read_is_a_bad_request(site: Site, query: str, body: Any, said: str) -> None:
    got = await site.send("PUT", f"{PATH}/configuration{query}", body)
    assert (got.status, got.body.decode()) == (400, f"Bad request: {said}")


@pytest.mark.parametrize(("healthy", "status"), [(True, 200), (False, 429)])
async def test_the_status_tells_of_the_servers_health(site: Site, healthy: bool, status: int) -> None:
    server = ServerHealth(
        id="i",
        name="n",
        address="10.0.0.1:8300",
        serf_status=4,
        version="1.10.11",
        leader=True,
        last_contact=12_000_000,
        last_term=2,
        last_index=9,
        healthy=healthy,
        voter=True,
        stable_since=SINCE,
    )
    health = ClusterHealth(healthy=healthy, failure_tolerance=1, servers=[server])
    site.agent.answer(OPERATOR_SERVER_HEALTH, health)
    got = await site.get(f"{PATH}/health")
    shown = {
        "ID": "i",
        "Name": "n",
        "Address": "10.0.0.1:8300",
        "SerfStatus": "failed",
        "Version": "1.10.11",
        "Leader": True,
        "LastContact": "12ms",
        "LastTerm": 2,
        "LastIndex": 9,
        "Healthy": healthy,
        "Voter": True,
        "StableSince": "2017-03-06T22:07:51Z",
    }
    assert (got.status, got.json) == (status, {"Healthy": healthy, "FailureTolerance": 1, "Servers": [shown]})


async def test_the_state_is_a_tree_by_server(site: Site) -> None:
    state = AutopilotServerState(
        server=AutopilotServer(
            id="i", name="n", address="10.0.0.1:8300", node_status="alive", version="1.10.11", meta={"dc": "dc1"}
        ),
        state="voter",
        stats=AutopilotServerStats(last_contact=-1, last_term=2, last_index=9),
        health=AutopilotServerHealth(healthy=True, stable_since=SINCE),
    )
    site.agent.answer(
        OPERATOR_AUTOPILOT_STATE,
        AutopilotState(healthy=True, failure_tolerance=2, servers={"i": state}, leader="i", voters=["i"]),
    )
    got = await site.get(f"{PATH}/state")
    assert (got.status, list(got.json)) == (
        200,
        ["Healthy", "FailureTolerance", "OptimisticFailureTolerance", "Servers", "Leader", "Voters"],
    )
    assert (got.json["FailureTolerance"], got.json["OptimisticFailureTolerance"]) == (2, 2)
    assert got.json["Servers"]["i"] == {
        "ID": "i",
        "Name": "n",
        "Address": "10.0.0.1:8300",
        "NodeStatus": "alive",
        "Version": "1.10.11",
        "LastContact": "-1ns",
        "LastTerm": 2,
        "LastIndex": 9,
        "Healthy": True,
        "StableSince": "2017-03-06T22:07:51Z",
        "ReadReplica": False,
        "Status": "voter",
        "Meta": {"dc": "dc1"},
        "NodeType": "voter",
    }
