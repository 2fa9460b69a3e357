"""`/v1/operator/raft`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.methods import (
    OPERATOR_RAFT_GET_CONFIGURATION,
    OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS,
    OPERATOR_RAFT_REMOVE_PEER_BY_ID,
    OPERATOR_TRANSFER_LEADER,
)
from consul_kernel.structs.operator import (
    RaftConfiguration,
    RaftRemovePeerRequest,
    RaftServer,
    TransferLeaderRequest,
    TransferLeaderResponse,
)
from consul_kernel.structs.record import Empty

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site


async def test_the_configuration_is_shown_as_consul_shows_it(site: Site) -> None:
    server = RaftServer(id="i", node="n", address="10.0.0.1:8300", leader=True, protocol_version="3", voter=True)
    site.agent.answer(OPERATOR_RAFT_GET_CONFIGURATION, RaftConfiguration(servers=[server]))
    got = await site.get("/v1/operator/raft/configuration?stale&dc=dc2")
    shown = {"ID": "i", "Node": "n", "Address": "10.0.0.1:8300", "Leader": True, "ProtocolVersion": "3", "Voter": True}
    assert (got.status, got.json) == (200, {"Servers": [shown], "Index": 0})
    assert "X-Consul-Index" not in got.headers
    (request,) = site.agent.requests(OPERATOR_RAFT_GET_CONFIGURATION)
    assert (request.datacenter, request.allow_stale) == ("dc2", True)
    got = await site.send("PUT", "/v1/operator/raft/configuration")
    assert (got.status, got.headers["Allow"]) == (405, "OPTIONS,GET")


async def test_a_peer_is_removed(site: Site) -> None:
    site.agent.answer(OPERATOR_RAFT_REMOVE_PEER_BY_ID, Empty())
    site.agent.answer(OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS, Empty())
    got = await site.send("DELETE", "/v1/operator/raft/peer?id=i")
    assert (got.status, got.body) == (200, b"")
    await site.send("DELETE", "/v1/operator/raft/peer?address=10.0.0.1:8300")
    assert site.agent.requests(OPERATOR_RAFT_REMOVE_PEER_BY_ID) == [RaftRemovePeerRequest(datacenter="dc1", id="i")]
    assert site.agent.requests(OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS) == [
        RaftRemovePeerRequest(datacenter="dc1", address="10.0.0.1:8300")
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "Bad request: Must specify either ?id with the server's ID or ?address with IP:port of peer to remove"),
        ("?id=a&address=b", "Bad request: Must specify only one of ?id or ?address"),
    ],
)
async def test_one_peer_must_be_named(site: Site, query: str, said: str) -> None:
    got = await site.send("DELETE", f"/v1/operator/raft/peer{query}")
    assert (got.status, got.body.decode()) == (400, said)


async def test_leadership_is_transferred(site: Site) -> None:
    site.agent.answer(OPERATOR_TRANSFER_LEADER, TransferLeaderResponse(success=True))
    got = await site.send("POST", "/v1/operator/raft/transfer-leader?id=i")
    assert (got.status, got.json) == (200, {"Success": True})
    assert site.agent.requests(OPERATOR_TRANSFER_LEADER) == [TransferLeaderRequest(datacenter="dc1", id="i")]
    site.agent.answer(OPERATOR_TRANSFER_LEADER, RpcError("leadership was not transferred: x"))
    got = await site.send("POST", "/v1/operator/raft/transfer-leader")
    assert (got.status, got.body) == (500, b"leadership was not transferred: x")
