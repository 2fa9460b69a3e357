"""The servers of this datacenter, as gossip tells of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consul_kernel.contracts.membership import Member, MemberEvent, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.rpc.client import ConnectionPool
from consul_kernel.rpc.directory import ServerDirectory, ServerEntry
from consul_kernel.structs import methods
from consul_kernel.structs.query import DatacenterRequest

from .tags import ServerTags, server_tags

ASK_PEERS_TIMEOUT_MS = 5_000

_GONE = (MemberEventKind.FAILED, MemberEventKind.LEAVE, MemberEventKind.REAP)


class KnownServers:
    """Keeps the directory that calls are routed by in step with the pool, and answers who is there."""

    def __init__(
        self,
        *,
        datacenter: str,
        members: Callable[[], Sequence[Member]],
        directory: ServerDirectory,
        pool: ConnectionPool,
    ) -> None:
        self._datacenter = datacenter
        self._members = members
        self._directory = directory
        self._pool = pool

    def observe(self, event: MemberEvent) -> ServerTags | None:
        """Take a change of the pool into account; the server that changed, where it was one of ours."""
        server = self._ours(event.member)
        if server is None:
            return None
        if event.kind in _GONE:
            known = self._directory.get(server.id)
            if known is not None and known.name == server.name:  # else its id lives on under another name
                self._directory.remove(server.id)
        else:
            self._add(server)
        return server

    def _add(self, server: ServerTags) -> None:
        for known in self._directory.servers(server.datacenter):
            if known.name == server.name and known.id != server.id:  # it came back with an empty data directory
                self._directory.remove(known.id)
        address = Address(server.host, server.port)
        self._directory.add(ServerEntry(server.id, server.name, server.datacenter, address))

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

    def _ours(self, member: Member) -> ServerTags | None:
        server = server_tags(member)
        return server if server is not None and server.datacenter == self._datacenter else None
