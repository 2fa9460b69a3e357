"""What endpoint tests share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from consul_kernel.agent.tags import ServerTags
from consul_kernel.contracts.consensus import Configuration, ConsensusStatus, Role, Server
from consul_kernel.contracts.transport import Stream
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.server.autopilot.judging import Judgement
from consul_kernel.server.endpoints import EndpointContext, attach_endpoints
from consul_kernel.server.keyring import KeyringOperations
from consul_kernel.server.session_timers import SessionTimers
from consul_kernel.state import ReplicatedState
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.coordinate import DatacenterMap, NodeCoordinate
from consul_kernel.structs.founding import FoundingReply
from consul_kernel.structs.keyring import KeyringResponses
from consul_kernel.structs.kv import DirEntry, KVOp, KVSRequest
from consul_kernel.structs.methods import (
    CATALOG_DEREGISTER,
    CATALOG_REGISTER,
    KVS_APPLY,
    METHODS,
    PREPARED_QUERY_EXECUTE_REMOTE,
    Method,
)
from consul_kernel.structs.prepared_query import PreparedQueryExecuteResponse
from consul_kernel_aes_gcm.cipher import AesGcmCipher
from consul_kernel_memory.store import MemoryStore
from core.endpoints.keyed_pool import KEY, KeyedPool

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

SECOND_NS = 1_000_000_000


class SoleConsensus:
    """A quorum of one: a proposal is applied at once. Errors can be set to be raised instead."""

    def __init__(self, state: ReplicatedState) -> None:
        self._state = state
        self.is_leader = True
        self.last_contact_ms: int | None = 0
        self.leader: Server | None = Server("id", "127.0.0.1:8300")
        self.propose_error: Exception | None = None
        self.verify_error: Exception | None = None
        self.change_error: Exception | None = None
        self.transferred_to: list[str | None] = []
        self.verified = 0
        self.proposals: list[bytes] = []
        self.configuration = Configuration((Server("id", "127.0.0.1:8300"),), 1)

    async def propose(self, command: bytes, *, timeout_ms: int) -> object:
        if self.propose_error is not None:
            raise self.propose_error
        self.proposals.append(command)
        return self._state.apply([(self._state.applied_index + 1, command)])[0]

    async def verify_leader(self, *, timeout_ms: int) -> None:
        self.verified += 1
        if self.verify_error is not None:
            raise self.verify_error

    def status(self) -> ConsensusStatus:
        return ConsensusStatus(
            role=Role.LEADER if self.is_leader else Role.FOLLOWER,
            term=1,
            leader=self.leader,
            last_log_index=0,
            last_log_term=1,
            commit_index=0,
            applied_index=self._state.applied_index,
            last_contact_ms=self.last_contact_ms,
        )

    def stats(self) -> Mapping[str, str]:
        return {}

    async def start(self) -> None: ...

    async def bootstrap(self, servers: Sequence[Server]) -> None: ...

    async def barrier(self, *, timeout_ms: int) -> None: ...

    async def add_server(self, server: Server) -> None: ...

    async def remove_server(self, server_id: str) -> None:
        if self.change_error is not None:
            raise self.change_error
        kept = tuple(server for server in self.configuration.servers if server.id != server_id)
        self.configuration = Configuration(kept, self.configuration.index + 1)

    async def transfer_leadership(self, to: str | None = None) -> None:
        if self.change_error is not None:
            raise self.change_error
        self.transferred_to.append(to)

    async def take_snapshot(self) -> None: ...

    async def serve(self, stream: Stream) -> None: ...

    async def aclose(self) -> None: ...


class Endpoints:
    """The endpoints by method, and short ways to write."""

    def __init__(self) -> None:
        self.state = ReplicatedState(MemoryStore().state)
        self.datacenters = ["dc1", "dc2"]
        self.consensus = SoleConsensus(self.state)
        self.events: list[tuple[str, bytes]] = []
        self.event_error: Exception | None = None
        self.lan = KeyedPool({"a1": AesGcmCipher([KEY]), "a2": AesGcmCipher([KEY])})
        self.wan = KeyedPool({"a1.dc1": AesGcmCipher([KEY])})
        self.elsewhere: list[tuple[Method[Any, Any], Any]] = []
        self.elsewhere_reply: KeyringResponses | Exception = KeyringResponses()
        self.elsewhere_found: dict[str, PreparedQueryExecuteResponse | Exception] = {}
        self.maps: list[DatacenterMap] = []
        self.coordinate_updates: list[NodeCoordinate] = []
        self.servers: list[ServerTags] = []
        self.session_timers = SessionTimers(state=self.state, consensus=self.consensus)
        self.judgement: Judgement | None = None
        self.table = EndpointTable()
        self.context = EndpointContext(
            state=self.state,
            consensus=self.consensus,
            datacenter="dc1",
            node_name="a1",
            rng=random.Random(7),
            now_ms=lambda: 0,
            call=self._call_elsewhere,
            fire_event=self._fire,
            operate_keyring=KeyringOperations(
                datacenter="dc1",
                lan=self.lan,
                wan=self.wan,
                datacenters=lambda: ["dc1", "dc2"],
                call=self._call_elsewhere,
            ).operate,
            datacenters=lambda: self.datacenters,
            datacenter_maps=lambda: self.maps,
            update_coordinate=self.coordinate_updates.append,
            leader_address=lambda: "127.0.0.1:8300",
            servers=lambda: self.servers,
            session_timers=self.session_timers,
            listed_servers=lambda: self.servers,
            consider_founding=lambda request: FoundingReply(agrees=True, servers=request.servers),
            judgement=lambda: self.judgement,
        )
        attach_endpoints(self.table, self.context)

    @property
    def methods(self) -> set[str]:
        return {name for name in METHODS if self.table.get(name) is not None}

    def handler(self, method: Method[RequestT, ReplyT]) -> Callable[[RequestT], Awaitable[ReplyT]]:
        endpoint = self.table.get(method.name)
        assert endpoint is not None
        return endpoint.handle

    async def call(self, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT:
        reply = await self.handler(method)(request)
        assert isinstance(reply, method.reply if isinstance(method.reply, type) else list)
        return reply

    async def _fire(self, name: str, payload: bytes) -> None:
        if self.event_error is not None:
            raise self.event_error
        self.events.append((name, payload))

    async def _call_elsewhere(self, method: Method[Any, Any], request: Any) -> Any:
        self.elsewhere.append((method, request))
        if method is PREPARED_QUERY_EXECUTE_REMOTE:
            found = self.elsewhere_found.get(request.datacenter, PreparedQueryExecuteResponse())
            if isinstance(found, Exception):
                raise found
            return found
        if isinstance(self.elsewhere_reply, Exception):
            raise self.elsewhere_reply
        return self.elsewhere_reply

    async def put(self, key: bytes, value: bytes = b"v") -> int:
        await self.call(KVS_APPLY, KVSRequest(op=KVOp.SET, dir_ent=DirEntry(key=key, value=value)))
        return self.state.applied_index

    async def delete(self, key: bytes, op: KVOp = KVOp.DELETE) -> int:
        await self.call(KVS_APPLY, KVSRequest(op=op, dir_ent=DirEntry(key=key)))
        return self.state.applied_index

    async def register(self, request: RegisterRequest) -> int:
        await self.call(CATALOG_REGISTER, request)
        return self.state.applied_index

    async def deregister(self, request: DeregisterRequest) -> int:
        await self.call(CATALOG_DEREGISTER, request)
        return self.state.applied_index

    @asynccontextmanager
    async def blocked(self, method: Method[RequestT, ReplyT], request: RequestT) -> AsyncIterator[asyncio.Task[ReplyT]]:
        """A call that is waiting when the block begins."""
        before = len(self.state.watches)
        task = asyncio.ensure_future(self.call(method, request))
        await settle()
        assert not task.done()
        assert len(self.state.watches) == before + 1
        yield task
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert len(self.state.watches) <= before


async def settle() -> None:
    """Let every task run that can."""
    for _ in range(5):
        await asyncio.sleep(0)
