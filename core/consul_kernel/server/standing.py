"""What the catalog says of all nodes: a pool at rest is compared by two reads, not by two for each member."""

from __future__ import annotations

from collections.abc import Iterable

from consul_kernel.agent.tags import ROLE_CLIENT
from consul_kernel.contracts.membership import Member, MemberStatus
from consul_kernel.structs.check import SERF_HEALTH_CHECK_ID, CheckStatus, HealthCheck
from consul_kernel.structs.node import Node


class Standing:
    """Nodes are found without regard to case, as in the catalog."""

    def __init__(self, nodes: Iterable[Node], checks: Iterable[HealthCheck]) -> None:
        self._addresses = {node.node.lower(): node.address for node in nodes}
        self._health = {
            check.node.lower(): (check.node, check.status) for check in checks if check.check_id == SERF_HEALTH_CHECK_ID
        }

    def is_settled(self, member: Member) -> bool:
        """Whether the catalog says of a client what gossip does. Of a server it says more, which is not looked at."""
        if member.tags.get("role") != ROLE_CLIENT:
            return False
        name = member.name.lower()
        address, (_, status) = self._addresses.get(name), self._health.get(name, ("", ""))
        if member.status is MemberStatus.ALIVE:
            return address == member.address.host and status == CheckStatus.PASSING
        if member.status is MemberStatus.FAILED:
            return address is None or status == CheckStatus.CRITICAL
        return member.status is MemberStatus.LEFT and address is None

    def unknown(self, known: set[str]) -> list[str]:
        """The nodes that were members once and that `known`, names in lower case, lacks."""
        return [node for name, (node, _) in self._health.items() if name not in known]
