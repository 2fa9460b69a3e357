"""Autopilot's configuration in the state, and what the leader sees."""

from __future__ import annotations

import pytest

from consul_kernel.agent.tags import ServerTags
from consul_kernel.contracts.errors import RpcError
from consul_kernel.state.autopilot import autopilot_config
from consul_kernel.structs.autopilot import AutopilotConfig, AutopilotSetConfigRequest
from consul_kernel.structs.methods import (
    OPERATOR_AUTOPILOT_GET_CONFIGURATION,
    OPERATOR_AUTOPILOT_SET_CONFIGURATION,
    OPERATOR_AUTOPILOT_STATE,
    OPERATOR_SERVER_HEALTH,
    STATUS_RAFT_STATS,
)
from consul_kernel.structs.query import DCSpecificRequest
from consul_kernel.structs.record import Empty
from core.endpoints.harness import Endpoints
from core.server.autopilot.sightings import judged, sighting


async def put(endpoints: Endpoints, *, cas: int | None = None, max_trailing_logs: int = 250) -> bool:
    config = AutopilotConfig(max_trailing_logs=max_trailing_logs, create_index=99, modify_index=cas or 0)
    request = AutopilotSetConfigRequest(config=config, cas=cas is not None)
    return await endpoints.call(OPERATOR_AUTOPILOT_SET_CONFIGURATION, request)


async def test_the_configuration_is_kept_and_replaced(endpoints: Endpoints) -> None:
    with pytest.raises(RpcError, match="autopilot config not initialized yet"):
        await endpoints.call(OPERATOR_AUTOPILOT_GET_CONFIGURATION, DCSpecificRequest())
    assert await put(endpoints, cas=0)
    first = await endpoints.call(OPERATOR_AUTOPILOT_GET_CONFIGURATION, DCSpecificRequest())
    assert (first.create_index, first.modify_index) == (1, 1)
    assert not await put(endpoints, cas=0, max_trailing_logs=1)
    await endpoints.put(b"k")
    assert await put(endpoints, max_trailing_logs=7)
    second = await endpoints.call(OPERATOR_AUTOPILOT_GET_CONFIGURATION, DCSpecificRequest())
    assert (second.create_index, second.modify_index, second.max_trailing_logs) == (1, 4, 7)
    assert not await put(endpoints, cas=1, max_trailing_logs=8)
    assert await put(endpoints, cas=4, max_trailing_logs=9)
    assert autopilot_config(endpoints.state.reader) == AutopilotConfig(
        max_trailing_logs=9, create_index=1, modify_index=6
    )


async def test_a_configuration_that_makes_no_sense_is_refused(endpoints: Endpoints) -> None:
    with pytest.raises(RpcError, match="cannot be negative"):
        await put(endpoints, max_trailing_logs=-1)


async def test_what_an_older_server_cannot_read_is_not_put_into_its_log(endpoints: Endpoints) -> None:
    old = ServerTags(
        id="id-old",
        name="old",
        datacenter="dc1",
        host="127.0.0.3",
        port=8300,
        bootstrap=False,
        expect=0,
        build="1.10.11",
        raft_version="3",
    )
    endpoints.servers = [old]
    with pytest.raises(RpcError, match="server old runs an older version"):
        await put(endpoints)
    await endpoints.put(b"k")
    endpoints.servers = []
    assert await put(endpoints)


async def test_state_and_health_are_what_was_seen_last(endpoints: Endpoints) -> None:
    with pytest.raises(RpcError, match="has not looked at the servers yet"):
        await endpoints.call(OPERATOR_AUTOPILOT_STATE, DCSpecificRequest())
    with pytest.raises(RpcError, match="has not looked at the servers yet"):
        await endpoints.call(OPERATOR_SERVER_HEALTH, DCSpecificRequest())
    endpoints.judgement = judged(sighting("b"), sighting("c"))
    state = await endpoints.call(OPERATOR_AUTOPILOT_STATE, DCSpecificRequest())
    assert (state.healthy, state.failure_tolerance, state.leader) == (True, 1, "id-a")
    health = await endpoints.call(OPERATOR_SERVER_HEALTH, DCSpecificRequest())
    assert [server.id for server in health.servers or []] == ["id-a", "id-b", "id-c"]


async def test_a_server_says_how_far_it_is(endpoints: Endpoints) -> None:
    endpoints.consensus.last_contact_ms = 12
    stats = await endpoints.call(STATUS_RAFT_STATS, Empty())
    assert (stats.last_contact, stats.last_term, stats.last_index) == ("12ms", 1, 0)
