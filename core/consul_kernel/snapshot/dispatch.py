"""Who saves or restores: this server, the leader, another server, or a server of another datacenter.

The rules are those of calls (`rpc.router`), but for repeating: an archive cannot be sent twice, as nobody has kept it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from msgspec.structs import replace

from consul_kernel.contracts.consensus import Consensus
from consul_kernel.contracts.errors import RpcError
from consul_kernel.contracts.interface import SavedSnapshot
from consul_kernel.contracts.transport import Address, Transport
from consul_kernel.rpc.directory import ServerDirectory, ServerEntry
from consul_kernel.rpc.errors import DATACENTER_UNREACHABLE, NO_LEADER, NO_PATH, NO_SERVERS, RpcTransportError
from consul_kernel.rpc.router import HOLD_TIMEOUT_MS, JITTER_FRACTION, parse_address
from consul_kernel.structs.snapshot import SnapshotOp, SnapshotRequest

from .stream import request_restore, request_save

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
        server = await self._elsewhere(request)
        if server is None:
            assert self._local is not None
            return await self._local.save(request)
        try:
            return await request_save(self._transport, server.address, request)
        except RpcTransportError:
            self._directory.fail(server)
            raise

    async def restore(self, request: SnapshotRequest, archive: AsyncIterator[bytes]) -> None:
        """Replace the state by that of an archive. RpcError with Consul's texts."""
        request = replace(request, op=SnapshotOp.RESTORE, datacenter=request.datacenter or self._datacenter)
        server = await self._elsewhere(request)
        if server is None:
            assert self._local is not None
            if request.allow_stale:
                raise RpcError(STALE_RESTORE)
            await self._local.restore(archive)
            return
        try:
            await request_restore(self._transport, server.address, request, archive)
        except RpcTransportError:
            self._directory.fail(server)
            raise

    async def _elsewhere(self, request: SnapshotRequest) -> ServerEntry | None:
        """The server that has to answer; None for this one."""
        if self._consensus is None:
            server = self._directory.pick(self._datacenter)
            if server is None:
                raise RpcError(NO_SERVERS)
            return server
        if request.datacenter != self._datacenter:
            server = self._directory.pick(request.datacenter)
            if server is None:
                known = self._directory.knows_datacenter(request.datacenter)
                raise RpcError(DATACENTER_UNREACHABLE if known else NO_PATH)
            return server
        if request.allow_stale:
            return None
        return await self._leader(self._consensus)

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
