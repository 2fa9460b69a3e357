"""The servers of all datacenters, as gossip tells of them, and a look at those that did not answer."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from consul_kernel.contracts.errors import RpcError
from consul_kernel.contracts.membership import Member, MemberEvent, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.rpc.client import ConnectionPool
from consul_kernel.rpc.directory import ServerDirectory, ServerEntry
from consul_kernel.rpc.router import parse_address
from consul_kernel.structs import methods
from consul_kernel.structs.autopilot import RaftStats
from consul_kernel.structs.founding import FoundingReply, FoundingRequest
from consul_kernel.structs.query import DatacenterRequest
from consul_kernel.structs.record import Empty

from .tags import ServerTags, server_tags

logger = logging.getLogger(__name__)

FOUNDING_GENERATION = 2
"""Since when servers agree on a founder; older ones each found what they see."""
ASK_STATS_TIMEOUT_MS = 1_000
ASK_PEERS_TIMEOUT_MS = 5_000
PING_TIMEOUT_MS = 3_000
REBALANCE_MIN_S, REBALANCE_MAX_S = 120.0, 180.0
DOUBTS_INTERVAL_S = 10.0
MAX_PINGS_PER_ROUND = 16
"""Others decide how many servers there are; those who are left over come in the next round."""


class KnownServers:
    """Keeps the directory that calls are routed by in step with the pools, and answers who is there."""

    def __init__(
        self,
        *,
        datacenter: str,
        members: Callable[[], Sequence[Member]],
        directory: ServerDirectory,
        pool: ConnectionPool,
    ) -> None:
        """`members`: those of the LAN pool."""
        self._datacenter = datacenter
        self._members = members
        self._directory = directory
        self._pool = pool

    def observe(self, event: MemberEvent) -> ServerTags | None:
        """Take a change of the LAN pool into account; the server that changed, where it was one of ours."""
        server = self._ours(event.member)
        if server is not None:
            self._take(event.kind, server)
        else:
            self._directory.remove(self._datacenter, event.member.name)  # it may have been one before
        return server

    def observe_wan(self, event: MemberEvent) -> None:
        """Take a change of the WAN pool into account. The servers of this datacenter are known from the LAN pool."""
        server = server_tags(event.member)
        if server is not None and server.datacenter != self._datacenter:
            self._take(event.kind, server)

    def _take(self, kind: MemberEventKind, server: ServerTags) -> None:
        if kind is MemberEventKind.FAILED:
            known = self._directory.get(server.datacenter, server.name)
            self._directory.lose(server.datacenter, server.name)
            if known is not None:
                self._pool.check(known.address)  # whoever waits for its answer need not wait in vain
        elif kind in (MemberEventKind.LEAVE, MemberEventKind.REAP):
            self._directory.remove(server.datacenter, server.name)
        else:
            address = Address(server.host, server.port)
            self._directory.add(ServerEntry(server.id, server.name, server.datacenter, address))

    # --- time ---

    async def rebalance(self, rng: random.Random) -> None:
        """Now and then ask another server first, so that the load of many clients spreads again. Until cancelled."""
        while True:
            await asyncio.sleep(rng.uniform(REBALANCE_MIN_S, REBALANCE_MAX_S))
            self._directory.rebalance()

    async def settle_doubts(self) -> None:
        """See which of the servers that did not answer a call are well again. Until cancelled."""
        while True:
            await asyncio.sleep(DOUBTS_INTERVAL_S)
            doubtful = self._directory.doubtful()[:MAX_PINGS_PER_ROUND]
            await asyncio.gather(*(self._ping(server) for server in doubtful))

    async def _ping(self, server: ServerEntry) -> None:
        try:
            await self._pool.call(server.address, methods.STATUS_PING, Empty(), timeout_ms=PING_TIMEOUT_MS)
        except RpcError as error:
            logger.debug("server %s of %s still does not answer: %s", server.name, server.datacenter, error)
            self._directory.doubt(server)
        else:
            self._directory.trust(server)

    # --- looking ---

    def all(self) -> Sequence[ServerTags]:
        """The servers that the pool lists, those that failed or left among them."""
        servers = (self._ours(member) for member in self._members())
        return [server for server in servers if server is not None]

    def alive(self) -> Sequence[ServerTags]:
        """The servers that are there now, this agent included where it is one."""
        alive = (self._ours(member) for member in self._members() if member.status is MemberStatus.ALIVE)
        return [server for server in alive if server is not None]

    async def ask_peers(self, server: ServerTags) -> Sequence[str]:
        """The quorum that a server knows (`Status.Peers`). Raises RpcError."""
        return await self._pool.call(
            Address(server.host, server.port),
            methods.STATUS_PEERS,
            DatacenterRequest(datacenter=self._datacenter),
            timeout_ms=ASK_PEERS_TIMEOUT_MS,
        )

    async def ask_to_found(self, server: ServerTags, request: FoundingRequest) -> FoundingReply:
        """Whether a server agrees to a founder. One of an older generation is asked for its quorum. Raises RpcError."""
        if server.generation < FOUNDING_GENERATION:
            peers = await self.ask_peers(server)
            return FoundingReply(agrees=not peers, peers=list(peers))
        address = Address(server.host, server.port)
        return await self._pool.call(address, methods.STATUS_FOUND, request, timeout_ms=ASK_PEERS_TIMEOUT_MS)

    async def ask_stats(self, address: str) -> RaftStats:
        """How far the server at `ip:port` is (`Status.RaftStats`). Raises RpcError."""
        return await self._pool.call(
            parse_address(address), methods.STATUS_RAFT_STATS, Empty(), timeout_ms=ASK_STATS_TIMEOUT_MS
        )

    def _ours(self, member: Member) -> ServerTags | None:
        server = server_tags(member)
        return server if server is not None and server.datacenter == self._datacenter else None
