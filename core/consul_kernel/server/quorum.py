"""Servers that gossip knows become servers of the quorum, and cease to be."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from consul_kernel.agent.tags import ServerTags, server_tags
from consul_kernel.contracts.consensus import Consensus, Server, Suffrage
from consul_kernel.contracts.membership import Member, MemberStatus

AskPeers = Callable[[ServerTags], Awaitable[Sequence[str]]]
"""Asks a server for its quorum (`Status.Peers`)."""

logger = logging.getLogger(__name__)

TURNED_AWAY_MAX = 64


class QuorumMembers:
    """Joins and leaves of servers, each compared first. Used on the leader only; errors are the caller's to handle.

    Where the consensus is one server (`several` false) nobody joins it, which is logged once for each.
    """

    def __init__(
        self,
        *,
        consensus: Consensus,
        members: Callable[[], Iterable[Member]],
        node_id: str,
        several: bool,
        ask_peers: AskPeers,
    ) -> None:
        self._consensus = consensus
        self._members = members
        self._node_id = node_id
        self._several = several
        self._ask_peers = ask_peers
        self._turned_away: set[str] = set()

    async def join(self, member: Member, server: ServerTags) -> None:
        """Have a living server in the quorum, at the address that it has now. Raises ConsensusError, RpcError."""
        if server.id in ("", self._node_id) or self._founded_another(member, server):
            return
        if not self._several:
            self._turn_away(server, f"server {member.name} cannot join: the consensus here is for one server alone")
            return
        configuration = self._consensus.configuration
        known = configuration.get(server.id)
        if known is not None and known.address == server.address:
            return
        for other in configuration.servers:
            if other.address == server.address and other.id != server.id:
                logger.info("server %s has a new id, removing %s from the quorum", member.name, other.id)
                await self._consensus.remove_server(other.id)
        if known is None:
            strangers = await self._foreign_quorum(server)
            if strangers:
                self._turn_away(server, f"server {member.name} cannot join: it is one of another quorum, {strangers}")
                return
            # Without a vote, so that the quorum does not wait for one that lacks everything; autopilot gives it one.
            logger.info("adding server %s at %s to the quorum, without a vote yet", member.name, server.address)
            await self._consensus.add_server(Server(server.id, server.address, Suffrage.NONVOTER))
        else:
            logger.info("server %s is at %s now", member.name, server.address)
            await self._consensus.add_server(Server(server.id, server.address, known.suffrage))

    async def leave(self, server_id: str, name: str) -> None:
        """Take out a server that is gone, where the quorum has it and it is not back under another name."""
        if self._consensus.configuration.get(server_id) is not None and not self._is_alive(server_id, but_not_as=name):
            logger.info("removing server %s from the quorum", name)
            await self._consensus.remove_server(server_id)

    async def _foreign_quorum(self, server: ServerTags) -> str:
        """The quorum that a server has, where that is none of ours; "" where it has none, or once was one of ours.

        Its log would be taken for ours as far as both are committed, and either quorum would lose by that.
        """
        peers = await self._ask_peers(server)
        ours = {other.address for other in self._consensus.configuration.servers}
        return "" if ours & set(peers) else ", ".join(peers)

    def _turn_away(self, server: ServerTags, why: str) -> None:
        if server.id not in self._turned_away and len(self._turned_away) < TURNED_AWAY_MAX:
            self._turned_away.add(server.id)
            logger.error("%s", why)

    def _is_alive(self, server_id: str, *, but_not_as: str) -> bool:
        """Whether the pool has a living server of this id, other than under the name given."""
        for member in self._members():
            tags = server_tags(member)
            if member.status is MemberStatus.ALIVE and member.name != but_not_as and tags and tags.id == server_id:
                return True
        return False

    def _founded_another(self, member: Member, server: ServerTags) -> bool:
        """Whether there are two that found a quorum by themselves: each may hold writes that the other would erase."""
        if not server.bootstrap:
            return False
        for other in self._members():
            tags = server_tags(other)
            rival = other.name != member.name and other.status is not MemberStatus.LEFT
            if rival and tags is not None and tags.bootstrap:
                logger.error(
                    "servers %s and %s both have bootstrap set; neither joins the other", member.name, other.name
                )
                return True
        return False
