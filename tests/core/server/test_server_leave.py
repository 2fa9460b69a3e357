"""A server that leaves hands over what it has, and leaves whatever becomes of that."""

from __future__ import annotations

from typing import cast

import pytest

from consul_kernel.contracts.consensus import Configuration, Consensus, Server
from consul_kernel.contracts.errors import ConsensusError
from consul_kernel.contracts.transport import Address
from consul_kernel.server.server import RaftServer, ServerParts, ServerSettings
from consul_kernel.structs.settings import AutopilotSettings, LimitSettings

SELF, OTHER = Server("id-self", "127.0.0.1:8300"), Server("id-other", "127.0.0.2:8300")
SELF_ADDRESS = Address("127.0.0.1", 8300)


class FakeConsensus:
    """A quorum that may refuse."""

    def __init__(self, *servers: Server) -> None:
        self.configuration = Configuration(servers, 1)
        self.is_leader = True
        self.takes_over = True
        self.removes = True
        self.asked: list[str] = []

    async def transfer_leadership(self) -> None:
        self.asked.append("transfer")
        if not self.takes_over:
            raise ConsensusError("nobody caught up")

    async def remove_server(self, server_id: str) -> None:
        self.asked.append(f"remove {server_id}")
        if not self.removes:
            raise ConsensusError("no quorum")


def leaving(consensus: FakeConsensus) -> RaftServer:
    settings = ServerSettings(
        node_name="self",
        node_id=SELF.id,
        datacenter="dc1",
        bind=SELF_ADDRESS,
        advertise=SELF_ADDRESS,
        bootstrap=False,
        bootstrap_expect=0,
        raft_multiplier=1,
        snapshot_threshold=1,
        snapshot_interval_ms=1,
        trailing_logs=1,
        autopilot=AutopilotSettings(),
        leave_drain_time_ms=0,
        rpc_hold_timeout_ms=1,
        default_query_time_ms=1,
        max_query_time_ms=1,
        session_ttl_min_ms=0,
        limits=LimitSettings(),
        data_dir=None,
    )
    server = RaftServer(settings, cast("ServerParts", None))
    server.consensus = cast("Consensus", consensus)
    return server


@pytest.mark.parametrize(
    ("servers", "leads", "asked"),
    [
        ((SELF, OTHER), True, ["transfer"]),
        ((SELF, OTHER), False, []),
        ((SELF,), True, []),
    ],
)
async def test_leadership_is_handed_over_where_there_is_somebody(
    servers: tuple[Server, ...], leads: bool, asked: list[str]
) -> None:
    consensus = FakeConsensus(*servers)
    consensus.is_leader = leads
    await leaving(consensus).prepare_leave()
    assert consensus.asked == asked


@pytest.mark.parametrize("removes", [True, False])
async def test_a_leader_that_nobody_follows_leaves_all_the_same(
    removes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    consensus = FakeConsensus(SELF, OTHER)
    consensus.takes_over, consensus.removes = False, removes
    await leaving(consensus).prepare_leave()
    assert consensus.asked == ["transfer"] * 3 + ["remove id-self"]
    assert ("could not be removed" in caplog.text) is not removes
