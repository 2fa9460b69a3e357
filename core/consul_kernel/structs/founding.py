"""How servers that expect one another agree on who founds the quorum. Ours; Consul has nothing of the kind."""

from __future__ import annotations

from .query import DatacenterRequest
from .record import Record


class FoundingRequest(DatacenterRequest, kw_only=True):
    """A server wants to found a quorum of these servers, by their ids in order."""

    founder: str = ""
    servers: list[str] | None = None


class FoundingReply(Record, kw_only=True):
    """Whether the server that was asked agrees; the quorum that it has (`ip:port`), and the servers that it sees."""

    agrees: bool = False
    peers: list[str] | None = None
    servers: list[str] | None = None
