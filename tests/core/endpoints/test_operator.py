"""`Operator.*`: the quorum as operators see and change it."""

from __future__ import annotations

import pytest

from consul_kernel.agent.tags import ServerTags
from consul_kernel.contracts.consensus import Configuration, Server, Suffrage
from consul_kernel.contracts.errors import ConsensusError, NotLeaderError, RpcError
from consul_kernel.structs.methods import (
    OPERATOR_RAFT_GET_CONFIGURATION,
    OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS,
    OPERATOR_RAFT_REMOVE_PEER_BY_ID,
    OPERATOR_TRANSFER_LEADER,
)
from consul_kernel.structs.operator import RaftRemovePeerRequest, RaftServer, TransferLeaderRequest
from consul_kernel.structs.query import DCSpecificRequest
from core.endpoints.harness import Endpoints

SERVERS = (
    Server("id", "127.0.0.1:8300"),
    Server("id-2", "127.0.0.2:8300"),
    Server("id-3", "127.0.0.3:8300", Suffrage.NONVOTER),
)


@pytest.fixture
def quorum(endpoints: Endpoints) -> Endpoints:
    endpoints.consensus.configuration = Configuration(SERVERS, 7)
    endpoints.servers = [
        ServerTags(
            id=server.id,
            name=f"node-{server.id}",
            datacenter="dc1",
            host=server.address.partition(":")[0],
            port=8300,
            bootstrap=False,
            expect=0,
            build="1.10.11",
            raft_version="3",
        )
        for server in SERVERS[:2]
    ]
    return endpoints


def ids(endpoints: Endpoints) -> list[str]:
    return [server.id for server in endpoints.consensus.configuration.servers]


async def test_servers_are_described_by_quorum_and_gossip(quorum: Endpoints) -> None:
    reply = await quorum.call(OPERATOR_RAFT_GET_CONFIGURATION, DCSpecificRequest())
    assert reply.index == 0
    assert reply.servers == [
        RaftServer(id="id", node="node-id", address="127.0.0.1:8300", leader=True, protocol_version="3", voter=True),
        RaftServer(id="id-2", node="node-id-2", address="127.0.0.2:8300", protocol_version="3", voter=True),
        RaftServer(id="id-3", node="(unknown)", address="127.0.0.3:8300", protocol_version="unknown"),
    ]


async def test_a_peer_is_removed_by_id_or_address(quorum: Endpoints) -> None:
    await quorum.call(OPERATOR_RAFT_REMOVE_PEER_BY_ID, RaftRemovePeerRequest(id="id-2"))
    assert ids(quorum) == ["id", "id-3"]
    await quorum.call(OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS, RaftRemovePeerRequest(address="127.0.0.3:8300"))
    assert ids(quorum) == ["id"]
    with pytest.raises(RpcError, match='id "id-2" was not found in the Raft configuration'):
        await quorum.call(OPERATOR_RAFT_REMOVE_PEER_BY_ID, RaftRemovePeerRequest(id="id-2"))
    with pytest.raises(RpcError, match='address "x" was not found in the Raft configuration'):
        await quorum.call(OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS, RaftRemovePeerRequest(address="x"))


async def test_leadership_is_transferred(quorum: Endpoints) -> None:
    assert (await quorum.call(OPERATOR_TRANSFER_LEADER, TransferLeaderRequest(id="id-2"))).success
    assert (await quorum.call(OPERATOR_TRANSFER_LEADER, TransferLeaderRequest())).success
    assert quorum.consensus.transferred_to == ["id-2", None]


async def test_what_the_quorum_refuses_is_said(quorum: Endpoints) -> None:
    quorum.consensus.change_error = ConsensusError("at least one voter is needed")
    with pytest.raises(RpcError, match="the server could not be removed: at least one voter"):
        await quorum.call(OPERATOR_RAFT_REMOVE_PEER_BY_ID, RaftRemovePeerRequest(id="id-2"))
    with pytest.raises(RpcError, match="leadership was not transferred: at least one voter"):
        await quorum.call(OPERATOR_TRANSFER_LEADER, TransferLeaderRequest())
    quorum.consensus.change_error = NotLeaderError("node is not the leader")
    with pytest.raises(NotLeaderError):  # the router finds the leader and asks it
        await quorum.call(OPERATOR_TRANSFER_LEADER, TransferLeaderRequest())
