"""Reads of the catalog on behalf of questions: as stale as the settings allow, and no staler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.contracts.interface import AgentApi
from consul_kernel.contracts.metrics import NO_METRICS, Metrics
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.methods import (
    CATALOG_LIST_NODES,
    CATALOG_NODE_SERVICES,
    CATALOG_SERVICE_NODES,
    HEALTH_SERVICE_NODES,
    PREPARED_QUERY_EXECUTE,
    Method,
)
from consul_kernel.structs.node import Node
from consul_kernel.structs.prepared_query import PreparedQueryExecuteRequest, PreparedQueryExecuteResponse
from consul_kernel.structs.query import (
    DCSpecificRequest,
    NodeSpecificRequest,
    QueryMeta,
    QueryOptions,
    QuerySource,
    ServiceSpecificRequest,
)
from consul_kernel.structs.service import ServiceNode
from consul_kernel.structs.settings import DnsSettings

from .naming import NodeRead, QueryName, ServiceRead
from .read_memory import ReadMemory
from .wire import Rcode

logger = logging.getLogger(__name__)

RequestT = TypeVar("RequestT", bound=QueryOptions)
ReplyT = TypeVar("ReplyT", bound=QueryMeta)

_NANOSECONDS_PER_MS = 1_000_000
_NO_SUCH_NAME = ("No path to datacenter", "Query not found")
_STALE_NS = 5_000_000_000
"""An answer that is older is counted, as in Consul."""


class ReadError(Exception):
    """The catalog could not be read; `rcode` is what the asker is told."""

    def __init__(self, rcode: Rcode) -> None:
        super().__init__(rcode.name)
        self.rcode = rcode


class CatalogReader:
    """What the catalog says, through the agent."""

    def __init__(
        self, agent: AgentApi, settings: DnsSettings, *, timeout_ms: int, metrics: Metrics = NO_METRICS
    ) -> None:
        self._agent = agent
        self._stale_answers = metrics.counter("dns.stale_queries")
        self._settings = settings
        self._timeout_s = timeout_ms / 1000
        self._max_stale = settings.max_stale_ms * _NANOSECONDS_PER_MS
        self._memory = ReadMemory(settings.cache_max_age_ms / 1000 if settings.use_cache else 0.0)

    async def service(self, read: ServiceRead) -> Sequence[CheckServiceNode]:
        """Every instance, in whatever health."""
        remembered = self._memory.get(read)
        if remembered is not None:
            return remembered.nodes or []
        reply = await self._read(HEALTH_SERVICE_NODES, self._service_request(read))
        self._memory.put(read, reply)
        return reply.nodes or []

    async def node(self, read: NodeRead) -> Node | None:
        """The node, or None."""
        reply = self._memory.get(read)
        if reply is None:
            reply = await self._read(CATALOG_NODE_SERVICES, self._node_request(read))
            self._memory.put(read, reply)
        return None if reply.node_services is None else reply.node_services.node

    def _node_request(self, read: NodeRead) -> NodeSpecificRequest:
        return NodeSpecificRequest(datacenter=read.datacenter, node=read.node, allow_stale=self._settings.allow_stale)

    async def nodes(self) -> Sequence[Node]:
        """Every node of this datacenter."""
        request = DCSpecificRequest(datacenter=self._agent.datacenter, allow_stale=self._settings.allow_stale)
        return (await self._read(CATALOG_LIST_NODES, request)).nodes or ()

    async def services_at(self, address: str) -> Sequence[ServiceNode]:
        """Every instance of this datacenter with a service address."""
        request = ServiceSpecificRequest(
            datacenter=self._agent.datacenter, service_address=address, allow_stale=self._settings.allow_stale
        )
        return (await self._read(CATALOG_SERVICE_NODES, request)).service_nodes or ()

    async def query(self, name: QueryName, asker: str) -> PreparedQueryExecuteResponse:
        """What a prepared query finds for an asker at an address."""
        agent = self._agent
        request = PreparedQueryExecuteRequest(
            datacenter=name.datacenter,
            query_id_or_name=name.name,
            allow_stale=self._settings.allow_stale,
            source=QuerySource(ip=asker),
            agent=QuerySource(datacenter=agent.datacenter, node=agent.node_name),
        )
        return await self._read(PREPARED_QUERY_EXECUTE, request)

    def _service_request(self, read: ServiceRead) -> ServiceSpecificRequest:
        return ServiceSpecificRequest(
            datacenter=read.datacenter,
            service_name=read.service,
            service_tags=[read.tag] if read.tag else [],
            tag_filter=bool(read.tag),
            allow_stale=self._settings.allow_stale,
            max_stale_duration=self._max_stale,
        )

    async def _read(self, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT:
        """One read; repeated at the leader when a follower's answer is older than `max_stale`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._agent.call(method, request)
                if request.allow_stale and reply.last_contact > self._max_stale:
                    reply = await self._agent.call(method, msgspec.structs.replace(request, allow_stale=False))
                elif reply.last_contact > _STALE_NS:
                    self._stale_answers.add()
                return reply
        except TimeoutError as error:
            raise ReadError(Rcode.SERVFAIL) from error
        except (ConsulKernelError, OSError) as error:
            raise ReadError(_rcode_of(str(error))) from error
        except Exception as error:
            logger.exception("%s failed", method.name)
            raise ReadError(Rcode.SERVFAIL) from error


def _rcode_of(text: str) -> Rcode:
    return Rcode.NXDOMAIN if any(known in text for known in _NO_SUCH_NAME) else Rcode.SERVFAIL
