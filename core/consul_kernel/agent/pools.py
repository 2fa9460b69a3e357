"""The gossip pools that an agent is in: the LAN of its datacenter and, on a server, the WAN of all datacenters."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from consul_kernel.config.model import AgentConfig
from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership import Member, Membership
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.multierror import several

from .resolve import resolve
from .retry_join import RetryJoinExhaustedError, log_joined, retry_join

logger = logging.getLogger(__name__)

FORCE_LEAVE_UNKNOWN = "agent: No node found with name '{}'"
NOT_A_SERVER = "Must be a server to join WAN cluster"
WAN_DISABLED = "the WAN pool of this server is disabled (ports.serf_wan)"


@dataclass(frozen=True, slots=True)
class JoinOrders:
    """What the agent file says of joining one pool."""

    start: Sequence[str]
    retry: Sequence[str]
    retry_interval_ms: int
    retry_max: int


class Pools:
    """One or two memberships; every question says which of them is meant."""

    def __init__(self, config: AgentConfig, lan: Membership, wan: Membership | None) -> None:
        self._config = config
        self.lan = lan
        self.wan = wan

    async def start(self) -> None:
        """Become a pool of one in each. Raises PluginStartError."""
        await self.lan.start()
        logger.info("gossip as %s on %s", self.lan.local_member.name, self.lan.local_member.address)
        if self.wan is not None:
            await self.wan.start()
            logger.info("WAN gossip as %s on %s", self.wan.local_member.name, self.wan.local_member.address)

    async def aclose(self) -> None:
        """Stop at once, without a word. Idempotent."""
        if self.wan is not None:
            await self.wan.aclose()
        await self.lan.aclose()

    def pool(self, *, wan: bool) -> Membership:
        """The pool that is meant. Raises MembershipError for the WAN pool of an agent that is in none."""
        if not wan:
            return self.lan
        if self.wan is None:
            raise MembershipError(WAN_DISABLED if self._config.server else NOT_A_SERVER)
        return self.wan

    def members(self, *, wan: bool) -> Sequence[Member]:
        """Everyone known in a pool. Raises MembershipError as `pool` does."""
        return self.pool(wan=wan).members()

    async def join(self, addresses: Sequence[str], *, wan: bool, counts_itself: bool = True) -> int:
        """Join by address or name; how many answered. Raises MembershipError with every cause when none did.

        With `counts_itself` false, this agent's own address is passed over where there are others.
        """
        membership = self.pool(wan=wan)
        bind = self._config.serf_wan_address if wan else None
        default_port = (bind or self._config.serf_lan_address).port
        found: list[Address] = []
        errors: list[str] = []
        for text in addresses:
            try:
                found += await resolve(text, default_port)
            except MembershipError as error:
                errors.append(str(error))
        joined = 0
        for address in dict.fromkeys(found if counts_itself else self._others(found, membership)):
            try:
                joined += await membership.join([address])
            except MembershipError as error:
                errors.append(str(error))
        if not joined and errors:
            raise MembershipError(several(errors))
        if errors:
            logger.info("of those to join, some did not answer: %s", " ".join(several(errors).split()))
        return joined

    def _others(self, addresses: Sequence[Address], membership: Membership) -> Sequence[Address]:
        own = membership.local_member.address
        return [address for address in addresses if address != own] or addresses

    def orders(self, *, wan: bool) -> JoinOrders:
        """What the agent file says of joining a pool; nothing, where this agent isn't in it."""
        config = self._config
        if not wan:
            return JoinOrders(config.start_join, config.retry_join, config.retry_interval_ms, config.retry_max)
        if self.wan is None:
            return JoinOrders((), (), 1, 0)
        return JoinOrders(
            config.start_join_wan, config.retry_join_wan, config.retry_interval_wan_ms, config.retry_max_wan
        )

    async def join_at_start(self, *, wan: bool) -> None:
        """`start_join`: once, and failing to is fatal. Raises MembershipError."""
        addresses = self.orders(wan=wan).start
        if addresses:
            log_joined(await self.join(addresses, wan=wan), wan=wan)

    async def join_until_answered(self, *, wan: bool) -> None:
        """`retry_join`. Raises RetryJoinExhaustedError.

        Servers often have one list, with each of them on it. Consul has joined when it has called itself, and a server
        that all others refuse says nothing of it; here it goes on trying, and only its last attempt may be itself.
        """
        orders = self.orders(wan=wan)
        if not orders.retry:
            return
        try:
            await retry_join(
                lambda addresses: self.join(addresses, wan=wan, counts_itself=False),
                orders.retry,
                interval_ms=orders.retry_interval_ms,
                max_attempts=orders.retry_max,
                wan=wan,
            )
        except RetryJoinExhaustedError as error:
            try:
                await self.join(orders.retry, wan=wan)
            except MembershipError:
                raise error from None
            logger.warning("%s; this agent is on the list itself, and goes on", " ".join(str(error).split()))

    async def force_leave(self, node: str, *, prune: bool) -> None:
        """Have a failed member counted as left: NODE in the LAN pool, NODE.DATACENTER in the WAN pool.

        A server of another datacenter is meant by its name in the WAN pool. Raises MembershipError for an unknown name.
        """
        in_lan = any(member.name == node for member in self.lan.members())
        wan_names = {member.name for member in self.wan.members()} if self.wan is not None else set()
        in_wan = [name for name in (node, f"{node}.{self._config.datacenter}") if name in wan_names][:1]
        if not in_lan and not in_wan:
            raise MembershipError(FORCE_LEAVE_UNKNOWN.format(node))
        if in_lan:
            await self.lan.force_leave(node, prune=prune)
        if self.wan is not None:
            for name in in_wan:
                await self.wan.force_leave(name, prune=prune)
