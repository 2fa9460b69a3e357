"""Who may be a member of the LAN pool (Consul's merge delegate)."""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel.contracts.membership import Member, MemberStatus

from .tags import ROLE_CLIENT, ROLE_SERVER


def lan_admission(*, datacenter: str, node_name: str, node_id: str) -> Callable[[Member], str | None]:
    """A check that gives Consul's text for refusing a member, or None to admit it.

    Members without Consul's tags (a plain Serf agent) are admitted: they take part in gossip only.
    """

    def refuse(member: Member) -> str | None:
        if member.name == node_name or member.status in (MemberStatus.LEFT, MemberStatus.LEAVING):
            return None
        if node_id and member.tags.get("id") == node_id:
            return f"Member '{member.name}' has conflicting node ID '{node_id}' with this agent's ID"
        if member.tags.get("role") not in (ROLE_CLIENT, ROLE_SERVER):
            return None
        if member.tags.get("dc") != datacenter:
            return f"Member '{member.name}' part of wrong datacenter '{member.tags.get('dc', '')}'"
        if member.tags.get("segment", ""):
            return f"Member '{member.name}' part of wrong segment '{member.tags['segment']}' (expected '')"
        return None

    return refuse
