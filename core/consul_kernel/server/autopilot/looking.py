"""What is to be seen of the servers now: in the quorum's list, in gossip, and by asking each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

from consul_kernel.agent.tags import server_tags
from consul_kernel.contracts.consensus import Consensus, Server
from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.contracts.membership import Member, MemberStatus
from consul_kernel.structs.autopilot import NodeStatus, RaftStats
from consul_kernel.structs.duration import DurationError, parse_duration_ns

from .judging import SILENT, Sighting, Stats

logger = logging.getLogger(__name__)

AskStats = Callable[[Server], Awaitable[RaftStats]]
"""Asks a server how far it is (`Status.RaftStats`), briefly."""

_STATUSES = {
    MemberStatus.ALIVE: NodeStatus.ALIVE,
    MemberStatus.LEAVING: NodeStatus.ALIVE,
    MemberStatus.LEFT: NodeStatus.LEFT,
    MemberStatus.FAILED: NodeStatus.FAILED,
}
_NS_PER_MS = 1_000_000


class Lookout:
    """Looks from the leader. Servers that do not answer count as silent; nothing here raises for them."""

    def __init__(
        self,
        *,
        consensus: Consensus,
        members: Callable[[], Iterable[Member]],
        ask_stats: AskStats,
        node_id: str,
        datacenter: str,
    ) -> None:
        self._consensus = consensus
        self._members = members
        self._ask_stats = ask_stats
        self._node_id = node_id
        self._datacenter = datacenter

    async def look(self) -> tuple[list[Sighting], list[Server]]:
        """The servers of the quorum that gossip knows, with how far each is; and those that it does not know.

        Of the latter only those that do not answer either: gossip may not have met them yet.
        """
        known = self._known()
        servers = self._consensus.configuration.servers
        stats = await asyncio.gather(*(self._stats(server) for server in servers))
        sightings, strangers = [], []
        for server, found in zip(servers, stats, strict=True):
            sighting = known.get(server.id)
            if sighting is not None:
                sightings.append(replace(sighting, server=server, stats=found))
            elif found is SILENT:
                strangers.append(server)
        return sightings, strangers

    def _known(self) -> Mapping[str, Sighting]:
        """Servers of this datacenter by id. One that came back under another name is the one that lives."""
        found: dict[str, Sighting] = {}
        for member in self._members():
            tags = server_tags(member)
            if tags is None or tags.datacenter != self._datacenter or not tags.id:
                continue
            status = _STATUSES.get(member.status, NodeStatus.UNKNOWN)
            if tags.id in found and status is not NodeStatus.ALIVE:
                continue
            found[tags.id] = Sighting(
                server=Server(tags.id, tags.address),
                name=member.name,
                status=status,
                version=tags.build,
                raft_version=int(tags.raft_version) if tags.raft_version.isdigit() else 0,
                meta=member.tags,
            )
        return found

    async def _stats(self, server: Server) -> Stats:
        if server.id == self._node_id:
            status = self._consensus.status()
            return Stats(0, status.last_log_term, status.last_log_index)
        try:
            answer = await self._ask_stats(server)
            return Stats(_contact_ns(answer.last_contact), answer.last_term, answer.last_index)
        except (ConsulKernelError, OSError, TimeoutError, DurationError) as error:
            logger.debug("server %s at %s does not say how far it is: %s", server.id, server.address, error)
            return SILENT


def _contact_ns(text: str) -> int:
    return 0 if text == "0" else -1 if text == "never" else parse_duration_ns(text)


def show_contact(last_contact_ms: int | None) -> str:
    """A server's last contact with its leader as `RaftStats` tells it."""
    return "never" if last_contact_ms is None else f"{last_contact_ms}ms" if last_contact_ms else "0"
