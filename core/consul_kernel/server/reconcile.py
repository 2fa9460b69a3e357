"""Turns gossip members into catalog entries and quorum members (Consul's leader reconciliation).

Gossip says who is here; the catalog must come to say the same. Each rule compares first, so that a pool at
rest causes no writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from consul_kernel.agent.tags import ROLE_CLIENT, ServerTags, server_tags
from consul_kernel.contracts.errors import ConsulKernelError, LeadershipLostError, NotLeaderError
from consul_kernel.contracts.membership import Member, MemberStatus
from consul_kernel.structs import methods
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.check import (
    SERF_HEALTH_ALIVE_OUTPUT,
    SERF_HEALTH_CHECK_ID,
    SERF_HEALTH_CHECK_NAME,
    SERF_HEALTH_FAILED_OUTPUT,
    CheckStatus,
    HealthCheck,
)
from consul_kernel.structs.methods import Call
from consul_kernel.structs.node import NodeServices
from consul_kernel.structs.query import ChecksInStateRequest, DCSpecificRequest, NodeSpecificRequest
from consul_kernel.structs.service import NodeService, Weights

from .quorum import QuorumMembers
from .standing import Standing

logger = logging.getLogger(__name__)

CONSUL_SERVICE = "consul"
AT_ONCE = 64
"""Members whose catalog entries are written at a time."""
UNKNOWN_GRACE_MS = 60_000
"""How long a node must be missing from the pool before it is deregistered. A server that has just started may
not have met its pool again; taking its nodes for gone would empty the catalog."""


class Reconciler:
    """One rule for each member status. Runs on the leader only; errors are the caller's to handle."""

    def __init__(
        self,
        *,
        call: Call,
        quorum: QuorumMembers,
        node_name: str,
        datacenter: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._call = call
        self._now_ms = now_ms
        self._missing_since_ms: dict[str, int] = {}
        self._quorum = quorum
        self._node_name = node_name
        self._datacenter = datacenter

    async def reconcile(self, member: Member, *, forgotten: bool = False) -> None:
        """Bring catalog and quorum in step with one member; `forgotten` when the pool no longer lists it."""
        server = server_tags(member)
        if server is None and member.tags.get("role") != ROLE_CLIENT:
            return
        if member.tags.get("dc") != self._datacenter:
            return
        if forgotten or member.status is MemberStatus.LEFT:
            await self._left(member, server)
        elif member.status is MemberStatus.ALIVE:
            await self._alive(member, server)
        elif member.status is MemberStatus.FAILED:
            await self._failed(member)

    async def reconcile_all(self, members: Iterable[Member]) -> None:
        """Every member, then the catalog's nodes that gossip no longer knows. Raises as `reconcile_many` does."""
        everybody = list(members)
        nodes = await self._call(methods.CATALOG_LIST_NODES, DCSpecificRequest())
        checks = await self._call(methods.HEALTH_CHECKS_IN_STATE, ChecksInStateRequest(state=CheckStatus.ANY))
        standing = Standing(nodes.nodes or [], checks.health_checks or [])
        first_error: ConsulKernelError | None = None
        try:
            await self.reconcile_many([(member, False) for member in everybody if not standing.is_settled(member)])
        except (NotLeaderError, LeadershipLostError):
            raise
        except ConsulKernelError as error:
            first_error = error
        await self._remove_unknown(standing.unknown({member.name.lower() for member in everybody}))
        if first_error is not None:
            raise first_error

    async def reconcile_many(self, changes: Sequence[tuple[Member, bool]]) -> None:
        """Members, each with whether it is forgotten: servers one by one, since each may change the quorum, then the
        others some at a time, so that their writes share a commit.

        A member that the catalog or the quorum refuses keeps no other from it; the first such error is raised last.
        """
        servers = [change for change in changes if server_tags(change[0]) is not None]
        others = [change for change in changes if server_tags(change[0]) is None]
        groups = [[server] for server in servers]
        groups += [others[start : start + AT_ONCE] for start in range(0, len(others), AT_ONCE)]
        first_error: ConsulKernelError | None = None
        for group in groups:
            work = (self.reconcile(member, forgotten=forgotten) for member, forgotten in group)
            outcomes = await asyncio.gather(*work, return_exceptions=True)
            for (member, _), outcome in zip(group, outcomes, strict=True):
                if outcome is None:
                    continue
                if not isinstance(outcome, ConsulKernelError) or isinstance(
                    outcome, (NotLeaderError, LeadershipLostError)
                ):
                    raise outcome
                logger.warning("member %s could not be reconciled: %s", member.name, outcome)
                first_error = first_error or outcome
        if first_error is not None:
            raise first_error

    async def _alive(self, member: Member, server: ServerTags | None) -> None:
        if server is not None:
            await self._quorum.join(member, server)
        known, checks = await self._catalog_entry(member.name)
        service = _consul_service(server, member) if server is not None else None
        if known is not None and known.node is not None:
            healthy = any(
                check.check_id == SERF_HEALTH_CHECK_ID and check.status == CheckStatus.PASSING for check in checks
            )
            same_service = service is None or _same_service((known.services or {}).get(CONSUL_SERVICE), service)
            if known.node.address == member.address.host and healthy and same_service:
                return
        logger.info("member %s joined, marking health alive", member.name)
        node = known.node if known is not None else None
        await self._call(
            methods.CATALOG_REGISTER,
            RegisterRequest(
                datacenter=self._datacenter,
                node=member.name,
                id=member.tags.get("id", ""),
                address=member.address.host,
                tagged_addresses=node.tagged_addresses if node else None,
                node_meta=node.meta if node else None,
                service=service,
                check=_serf_health(member.name, CheckStatus.PASSING, SERF_HEALTH_ALIVE_OUTPUT),
                # A new node may have registered itself since it was looked up, with more than is known here.
                skip_node_update=node is None,
            ),
        )

    async def _failed(self, member: Member) -> None:
        known, checks = await self._catalog_entry(member.name)
        if known is None or known.node is None:
            return
        if any(check.check_id == SERF_HEALTH_CHECK_ID and check.status == CheckStatus.CRITICAL for check in checks):
            return
        logger.info("member %s failed, marking health critical", member.name)
        await self._call(
            methods.CATALOG_REGISTER,
            RegisterRequest(
                datacenter=self._datacenter,
                node=member.name,
                id=known.node.id,
                address=known.node.address,
                check=_serf_health(member.name, CheckStatus.CRITICAL, SERF_HEALTH_FAILED_OUTPUT),
                skip_node_update=True,
            ),
        )

    async def _left(self, member: Member, server: ServerTags | None) -> None:
        if member.name == self._node_name:
            logger.warning("this server left the pool; another leader removes it from the catalog")
            return
        if server is not None:
            await self._quorum.leave(server.id, member.name)
        known, _ = await self._catalog_entry(member.name)
        if known is not None and known.node is not None:
            logger.info("deregistering member %s", member.name)
            await self._call(
                methods.CATALOG_DEREGISTER, DeregisterRequest(datacenter=self._datacenter, node=member.name)
            )

    async def _remove_unknown(self, unknown: Sequence[str]) -> None:
        now_ms = self._now_ms()
        self._missing_since_ms = {node: self._missing_since_ms.get(node, now_ms) for node in unknown}
        for node, since_ms in self._missing_since_ms.items():
            if now_ms - since_ms >= UNKNOWN_GRACE_MS:
                logger.info("deregistering node %s, which is in the catalog but not in the pool", node)
                await self._forget(node)

    async def _forget(self, node: str) -> None:
        """A node that the pool reaped while nobody led: out of the catalog, and of the quorum where it was a server."""
        known, _ = await self._catalog_entry(node)
        server_id = known.node.id if known is not None and known.node is not None else ""
        await self._quorum.leave(server_id, node)
        await self._call(methods.CATALOG_DEREGISTER, DeregisterRequest(datacenter=self._datacenter, node=node))

    async def _catalog_entry(self, node: str) -> tuple[NodeServices | None, list[HealthCheck]]:
        request = NodeSpecificRequest(node=node)
        services = await self._call(methods.CATALOG_NODE_SERVICES, request)
        checks = await self._call(methods.HEALTH_NODE_CHECKS, request)
        return services.node_services, checks.health_checks or []


def _serf_health(node: str, status: CheckStatus, output: str) -> HealthCheck:
    return HealthCheck(
        node=node, check_id=SERF_HEALTH_CHECK_ID, name=SERF_HEALTH_CHECK_NAME, status=status, output=output
    )


def _consul_service(server: ServerTags, member: Member) -> NodeService:
    return NodeService(
        id=CONSUL_SERVICE,
        service=CONSUL_SERVICE,
        port=server.port,
        weights=Weights(),
        meta={
            "non_voter": "false",
            "read_replica": "false",
            "raft_version": server.raft_version,
            "serf_protocol_current": str(member.protocol_cur),
            "serf_protocol_min": str(member.protocol_min),
            "serf_protocol_max": str(member.protocol_max),
            "version": server.build,
        },
    )


def _same_service(known: NodeService | None, wanted: NodeService) -> bool:
    return known is not None and known.port == wanted.port and known.meta == wanted.meta
