"""Who saves or restores: this server, the leader, another server, or a server of another datacenter.

The rules are those of calls (`rpc.router`), but for repeating: an archive cannot be sent twice, as nobody has kept it.
So another server is asked only where the first could not be reached.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from msgspec.structs import replace

from consul_kernel.contracts.consensus import Consensus
from consul_kernel.contracts.errors import RpcError
from consul_kernel.contracts.interface import SavedSnapshot
from consul_kernel.contracts.transport import Address, Transport
from consul_kernel.rpc.directory import ServerDirectory, ServerEntry
from consul_kernel.rpc.errors import (
    DATACENTER_UNREACHABLE,
    NO_LEADER,
    NO_PATH,
    NO_SERVERS,
    RpcTransportError,
    RpcUnreachableError,
)
from consul_kernel.rpc.router import HOLD_TIMEOUT_MS, JITTER_FRACTION, parse_address
from consul_kernel.structs.snapshot import SnapshotOp, SnapshotRequest

from .stream import request_restore, request_save

T = TypeVar("T")

STALE_RESTORE = "stale not allowed for restore"


class LocalSnapshots(Protocol):
    """What a server does itself."""

    async def save(self, request: SnapshotRequest) -> SavedSnapshot:
        """An archive of the state as this server has it."""
        ...

    async def restore(self, archive: AsyncIterator[bytes]) -> None:
        """Replace the state of all servers. Leader only."""
        ...


class SnapshotDispatcher:
    """Routes requests. A server has `local` and its consensus, a client agent has neither."""

    def __init__(
        self,
        *,
        datacenter: str,
        directory: ServerDirectory,
        transport: Transport,
        now_ms: Callable[[], int],
        rng: random.Random,
        server_id: str = "",
        local: LocalSnapshots | None = None,
        consensus: Consensus | None = None,
        hold_timeout_ms: int = HOLD_TIMEOUT_MS,
    ) -> None:
        self._datacenter = datacenter
        self._directory = directory
        self._transport = transport
        self._now_ms = now_ms
        self._rng = rng
        self._server_id = server_id
        self._local = local
        self._consensus = consensus
        self._hold_ms = hold_timeout_ms

    async def save(self, request: SnapshotRequest) -> SavedSnapshot:
        """An archive, and what is known of it. RpcError with Consul's texts."""
        request = replace(request, op=SnapshotOp.SAVE, datacenter=request.datacenter or self._datacenter)
        servers = await self._elsewhere(request)
        if not servers:
            assert self._local is not None
            return await self._local.save(request)
        return await self._ask(servers, lambda server: request_save(self._transport, server.address, request))

    async def restore(self, request: SnapshotRequest, archive: AsyncIterator[bytes]) -> None:
        """Replace the state by that of an archive. RpcError with Consul's texts."""
        request = replace(request, op=SnapshotOp.RESTORE, datacenter=request.datacenter or self._datacenter)
        servers = await self._elsewhere(request)
        if not servers:
            assert self._local is not None
            if request.allow_stale:
                raise RpcError(STALE_RESTORE)
            await self._local.restore(archive)
            return
        await self._ask(servers, lambda server: request_restore(self._transport, server.address, request, archive))

    async def _ask(self, servers: Sequence[ServerEntry], ask: Callable[[ServerEntry], Awaitable[T]]) -> T:
        """Ask the first, or the next while nothing could be sent."""
        failure = RpcError(NO_SERVERS)
        for server in servers:
            try:
                answer = await ask(server)
            except RpcTransportError as error:
                self._directory.fail(server)
                self._directory.doubt(server)
                if not isinstance(error, RpcUnreachableError):
                    raise
                failure = error
            else:
                self._directory.trust(server)
                return answer
        raise failure

    async def _elsewhere(self, request: SnapshotRequest) -> Sequence[ServerEntry]:
        """The servers of which one has to answer; none where this one does."""
        if self._consensus is None:
            servers = self._directory.servers(self._datacenter)
            if not servers:
                raise RpcError(NO_SERVERS)
            return servers
        if request.datacenter != self._datacenter:
            servers = self._directory.route(request.datacenter)
            if not servers:
                known = self._directory.knows_datacenter(request.datacenter)
                raise RpcError(DATACENTER_UNREACHABLE if known else NO_PATH)
            return servers
        if request.allow_stale:
            return ()
        leader = await self._leader(self._consensus)
        return () if leader is None else (leader,)

    async def _leader(self, consensus: Consensus) -> ServerEntry | None:
        """The leader, for which this waits at most the hold time; None for this server."""
        deadline = self._now_ms() + self._hold_ms
        while True:
            if consensus.is_leader:
                return None
            leader = consensus.status().leader
            if leader is not None and leader.id != self._server_id:
                address: Address = parse_address(leader.address)
                return ServerEntry(leader.id, leader.id, self._datacenter, address)
            pause = self._rng.uniform(0, self._hold_ms / JITTER_FRACTION)
            if self._now_ms() + pause >= deadline:
                raise RpcError(NO_LEADER)
            await asyncio.sleep(pause / 1000)
