"""What operators ask about the quorum, and change in it (Consul: `structs.RaftConfigurationResponse` and its like)."""

from __future__ import annotations

from .query import DatacenterRequest
from .record import Record


class RaftServer(Record, kw_only=True):
    """One server of the quorum. `node` and `protocol_version` come from gossip, and are "unknown" to it otherwise."""

    id: str = ""
    node: str = ""
    address: str = ""
    leader: bool = False
    protocol_version: str = ""
    voter: bool = False


class RaftConfiguration(Record, kw_only=True):
    """The quorum's servers. `index` is 0, as Consul tells it."""

    servers: list[RaftServer] | None = None
    index: int = 0


class RaftRemovePeerRequest(DatacenterRequest, kw_only=True):
    """Take a server out of the quorum, by its address (`ip:port`) or by its id."""

    address: str = ""
    id: str = ""


class TransferLeaderRequest(DatacenterRequest, kw_only=True):
    """Hand leadership to the server with this id; "" for the one that is furthest."""

    id: str = ""


class TransferLeaderResponse(Record, kw_only=True):
    """Whether another server leads now."""

    success: bool = False
