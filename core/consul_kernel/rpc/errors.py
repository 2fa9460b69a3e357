"""What a call fails with, beyond what its endpoint says."""

from __future__ import annotations

from consul_kernel.contracts.errors import PeerProtocolError, RpcError, TransportError

CALL_PREFIX = "rpc error making call: "
"""Before the cause, where a call broke off. What an endpoint says is passed on as it is: an answer reads the same
whichever agent was asked, on however many hops (Consul puts this before it at each).
"""
CONNECT_PREFIX = "rpc error getting client: failed to get conn: "

NO_LEADER = "No cluster leader"
NO_PATH = "No path to datacenter"
NO_SERVERS = "No known Consul servers"
DATACENTER_UNREACHABLE = "Remote DC has no server currently reachable"


class RpcTransportError(RpcError, TransportError):
    """The connection broke, or time ran out, after the call was sent: whether it was carried out is unknown."""


class RpcUnreachableError(RpcTransportError):
    """No connection could be made: nothing was sent, so that even a write may be tried again."""


class WireError(PeerProtocolError):
    """Bytes that are no message, or a message that is not of the type expected."""
