"""`Status.*`: what any server can say of the quorum."""

from __future__ import annotations

from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.server.autopilot.looking import show_contact
from consul_kernel.structs.autopilot import RaftStats
from consul_kernel.structs.founding import FoundingReply, FoundingRequest
from consul_kernel.structs.methods import (
    STATUS_FOUND,
    STATUS_LEADER,
    STATUS_PEERS,
    STATUS_PING,
    STATUS_RAFT_STATS,
)
from consul_kernel.structs.query import DatacenterRequest
from consul_kernel.structs.record import Empty

from .context import EndpointContext


class Status:
    """Answered by whichever server is asked."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(STATUS_PING, self.ping)
        table.attach(STATUS_LEADER, self.leader)
        table.attach(STATUS_PEERS, self.peers)
        table.attach(STATUS_RAFT_STATS, self.raft_stats)
        table.attach(STATUS_FOUND, self.found)

    async def ping(self, _: Empty) -> Empty:
        """Say that this server answers."""
        return Empty()

    async def leader(self, _: DatacenterRequest) -> str:
        """`ip:port` of the leader, "" when there is none."""
        return self._context.leader_address()

    async def peers(self, _: DatacenterRequest) -> list[str]:
        """`ip:port` of every server of the quorum."""
        return [server.address for server in self._context.consensus.configuration.servers]

    async def raft_stats(self, _: Empty) -> RaftStats:
        """How far this server is; autopilot asks."""
        status = self._context.consensus.status()
        return RaftStats(
            last_contact=show_contact(status.last_contact_ms),
            last_term=status.last_log_term,
            last_index=status.last_log_index,
        )

    async def found(self, request: FoundingRequest) -> FoundingReply:
        """Whether this server agrees that another one founds the quorum."""
        return self._context.consider_founding(request)
