"""Brings the servers of a datacenter into the WAN pool, so that it is enough to join one of them from outside.

Each server joins to the WAN pool, at the port that its LAN tags tell, whoever of the LAN pool is missing there
(Consul: `agent/router/serf_flooder.go`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership import Member, Membership, MemberStatus
from consul_kernel.contracts.transport import Address

from .tags import server_tags

logger = logging.getLogger(__name__)

FLOOD_INTERVAL_S = 60.0
MAX_JOINS_PER_ROUND = 64
"""Others decide how many servers there are; those who are left over come in the rounds to follow."""

_THERE = (MemberStatus.ALIVE, MemberStatus.FAILED)
"""A failed member of the WAN pool is called on by the pool itself."""


class Flooding:
    """One task: a round each minute, and one whenever a server has joined the LAN pool."""

    def __init__(
        self, *, datacenter: str, lan_members: Callable[[], Sequence[Member]], wan: Membership, default_port: int
    ) -> None:
        """`default_port`: the WAN port of servers that do not tell theirs."""
        self._datacenter = datacenter
        self._lan_members = lan_members
        self._wan = wan
        self._default_port = default_port
        self._wake = asyncio.Event()
        self._unreached: set[str] = set()

    def server_joined(self) -> None:
        """A server joined the LAN pool: look for it in the WAN pool soon."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            await self.flood()
            try:
                async with asyncio.timeout(FLOOD_INTERVAL_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def flood(self) -> None:
        """One round. Whoever cannot be joined is told once in the log, and tried again in each round."""
        if self._wan.local_member.status is not MemberStatus.ALIVE:
            return  # an agent that leaves brings nobody in
        missing = self._missing()
        self._unreached &= missing.keys()
        todo = list(missing.items())[:MAX_JOINS_PER_ROUND]
        await asyncio.gather(*(self._join(name, address) for name, address in todo))

    def _missing(self) -> dict[str, Address]:
        """Servers of the LAN pool by their WAN names, and where to join them; those not tried in vain come first."""
        present = {member.name for member in self._wan.members() if member.status in _THERE}
        missing: dict[str, Address] = {}
        for member in self._lan_members():
            server = server_tags(member)
            name = f"{member.name}.{self._datacenter}"
            if server is not None and member.status is MemberStatus.ALIVE and name not in present:
                missing[name] = Address(member.address.host, server.wan_join_port or self._default_port)
        return dict(sorted(missing.items(), key=lambda item: item[0] in self._unreached))

    async def _join(self, name: str, address: Address) -> None:
        try:
            await self._wan.join([address])
        except MembershipError as error:
            log = logger.debug if name in self._unreached else logger.warning
            log("server %s could not be brought into the WAN pool and is tried again: %s", name, error)
            self._unreached.add(name)
        else:
            self._unreached.discard(name)
            logger.debug("server %s was joined to the WAN pool at %s", name, address)
