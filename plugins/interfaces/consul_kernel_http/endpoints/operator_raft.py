"""`/v1/operator/raft`: the servers of the quorum."""

from __future__ import annotations

from consul_kernel.structs.methods import (
    OPERATOR_RAFT_GET_CONFIGURATION,
    OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS,
    OPERATOR_RAFT_REMOVE_PEER_BY_ID,
    OPERATOR_TRANSFER_LEADER,
)
from consul_kernel.structs.operator import RaftRemovePeerRequest, TransferLeaderRequest
from consul_kernel.structs.query import DCSpecificRequest
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError
from consul_kernel_http.options import read_options

_NEITHER = "Bad request: Must specify either ?id with the server's ID or ?address with IP:port of peer to remove"
_BOTH = "Bad request: Must specify only one of ?id or ?address"


async def configuration(exchange: Exchange) -> Answer:
    """The servers, and which of them leads."""
    request = read_options(exchange, DCSpecificRequest())
    return exchange.json(await exchange.agent.call(OPERATOR_RAFT_GET_CONFIGURATION, request))


async def remove_peer(exchange: Exchange) -> Answer:
    """Take a server out of the quorum."""
    query = exchange.query
    if "id" not in query and "address" not in query:
        raise BadRequestError(_NEITHER)
    if "id" in query and "address" in query:
        raise BadRequestError(_BOTH)
    request = RaftRemovePeerRequest(
        datacenter=exchange.datacenter(),
        token=exchange.token(),
        id=query.get("id") or "",
        address=query.get("address") or "",
    )
    method = OPERATOR_RAFT_REMOVE_PEER_BY_ID if "id" in query else OPERATOR_RAFT_REMOVE_PEER_BY_ADDRESS
    await exchange.agent.call(method, request)
    return exchange.empty()


async def transfer_leader(exchange: Exchange) -> Answer:
    """Hand leadership over (as Consul does it from 1.15 on)."""
    request = TransferLeaderRequest(
        datacenter=exchange.datacenter(), token=exchange.token(), id=exchange.query.get("id") or ""
    )
    return exchange.json(await exchange.agent.call(OPERATOR_TRANSFER_LEADER, request))
