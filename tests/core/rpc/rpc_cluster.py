"""Servers and clients of the RPC layer on an in-memory network, with a consensus that a test decides."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from consul_kernel.contracts.consensus import Consensus, ConsensusStatus, LogPosition, Role, Server
from consul_kernel.contracts.transport import Address, Stream, Transport
from consul_kernel.rpc.client import ConnectionPool
from consul_kernel.rpc.directory import ServerDirectory, ServerEntry
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.rpc.router import Router
from consul_kernel.rpc.server import RpcServer
from consul_kernel.structs.event import EventFireRequest, EventFireResponse
from consul_kernel.structs.kv import IndexedDirEntries, KeyRequest, KVSRequest
from consul_kernel.structs.methods import (
    INTERNAL_EVENT_FIRE,
    KVS_APPLY,
    KVS_GET,
    STATUS_LEADER,
    STATUS_PEERS,
    STATUS_PING,
)
from consul_kernel.structs.query import DatacenterRequest
from consul_kernel.structs.record import Empty
from consul_kernel.structs.settings import LimitSettings
from consul_kernel.testing.memory_network import MemoryNetwork
from consul_kernel.testing.virtual_time import virtual_now_ms

PORT = 8300


class DecidedConsensus:
    """What a test says of leadership."""

    def __init__(self) -> None:
        self.is_leader = False
        self.leader: Server | None = None
        self.last_contact_ms: int | None = None
        self.served: list[Stream] = []
        self.position: LogPosition | None = None
        self.awaited: list[LogPosition] = []

    def status(self) -> ConsensusStatus:
        return ConsensusStatus(
            role=Role.LEADER if self.is_leader else Role.FOLLOWER,
            term=1,
            leader=self.leader,
            last_log_index=0,
            last_log_term=0,
            commit_index=0,
            applied_index=0,
            last_contact_ms=self.last_contact_ms,
        )

    def applied(self) -> LogPosition | None:
        return self.position

    async def catch_up(self, position: LogPosition, *, timeout_ms: int) -> bool:
        self.awaited.append(position)
        return True

    async def serve(self, stream: Stream) -> None:
        self.served.append(stream)
        stream.write(await stream.read_exactly(4))
        await stream.drain()


@dataclass
class Endpoints:
    """Answers that tell who gave them, and a few that err."""

    name: str
    calls: list[Any] = field(default_factory=list)
    on_get: Callable[[KeyRequest], Awaitable[IndexedDirEntries]] | None = None
    on_apply: Callable[[KVSRequest], Awaitable[bool]] | None = None
    fire_s: float = 0.0
    """How long firing an event takes."""

    async def get(self, request: KeyRequest) -> IndexedDirEntries:
        self.calls.append(request)
        if self.on_get is not None:
            return await self.on_get(request)
        return IndexedDirEntries(index=1, consistency_level=self.name)

    def get_at_once(self, request: KeyRequest) -> IndexedDirEntries | None:
        if request.require_consistent:
            return None
        return IndexedDirEntries(index=1, consistency_level=f"{self.name}, at once")

    async def apply(self, request: KVSRequest) -> bool:
        self.calls.append(request)
        return await self.on_apply(request) if self.on_apply is not None else True

    async def fire(self, request: EventFireRequest) -> EventFireResponse:
        self.calls.append(request)
        await asyncio.sleep(self.fire_s)
        return EventFireResponse()

    async def leader(self, request: DatacenterRequest) -> str:
        return self.name

    async def peers(self, request: DatacenterRequest) -> list[str]:
        await asyncio.sleep(2)
        return [self.name]

    async def ping(self, request: Empty) -> Empty:
        return Empty()

    def table(self) -> EndpointTable:
        table = EndpointTable()
        table.attach(KVS_GET, self.get, self.get_at_once)
        table.attach(KVS_APPLY, self.apply)
        table.attach(INTERNAL_EVENT_FIRE, self.fire)
        table.attach(STATUS_LEADER, self.leader)
        table.attach(STATUS_PEERS, self.peers)
        table.attach(STATUS_PING, self.ping)
        return table


class Node:
    """A server with all of the RPC layer; several share a network."""

    def __init__(self, transport: Transport, host: str, name: str, datacenter: str = "dc1", port: int = PORT) -> None:
        self.transport = transport
        self.name = name
        self.host = host
        self.bind = Address(host, port)
        self.entry = ServerEntry(name, name, datacenter, self.bind)
        self.endpoints = Endpoints(name)
        self.consensus = DecidedConsensus()
        self.directory = ServerDirectory(random.Random(name))
        self.pool = ConnectionPool(transport)
        table = self.endpoints.table()
        self.router = Router(
            datacenter=datacenter,
            directory=self.directory,
            pool=self.pool,
            now_ms=virtual_now_ms,
            rng=random.Random(name),
            server_id=name,
            endpoints=table,
            consensus=cast("Consensus", self.consensus),
        )
        self.limits = LimitSettings()
        self.server = RpcServer(
            table,
            self.router.call,
            consensus_serve=self.consensus.serve,
            limits=self.limits,
            max_request_bytes=1_000_000,
            applied=self.consensus.applied,
        )

    async def start(self) -> None:
        listener = await self.transport.listen(self.bind, self.server.serve)
        self.entry = ServerEntry(self.name, self.name, self.entry.datacenter, listener.address)

    def lead(self, *followers: Node) -> None:
        leader = Server(self.name, str(self.entry.address))
        self.consensus.is_leader = True
        for node in (self, *followers):
            node.consensus.leader = leader
            node.consensus.last_contact_ms = 0

    async def aclose(self) -> None:
        await self.pool.aclose()
        await self.transport.aclose()


async def start_servers(network: MemoryNetwork, *names: str, datacenter: str = "dc1", first: int = 1) -> list[Node]:
    """Servers on hosts 10.0.0.<first> and following, who know each other."""
    hosts = [f"10.0.0.{first + number}" for number in range(len(names))]
    nodes = [Node(network.transport(host), host, name, datacenter) for host, name in zip(hosts, names, strict=True)]
    for node in nodes:
        await node.start()
    for node in nodes:
        for other in nodes:
            node.directory.add(other.entry)
    return nodes


def make_client(network: MemoryNetwork, *servers: Node, host: str = "10.0.0.99") -> tuple[Router, ConnectionPool]:
    """A client agent that knows these servers."""
    directory = ServerDirectory(random.Random(3))
    for server in servers:
        directory.add(server.entry)
    pool = ConnectionPool(network.transport(host))
    router = Router(datacenter="dc1", directory=directory, pool=pool, now_ms=virtual_now_ms, rng=random.Random(4))
    return router, pool
