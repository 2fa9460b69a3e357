"""Who may be a member of a pool (Consul's merge delegates, `agent/consul/merge.go`).

A check of one member gives Consul's text for refusing it, or None to admit it. A check of a list is asked in a join
about all that the peer sent, and refuses all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consul_kernel.contracts.membership import Member, MemberStatus

from .tags import GENERATION_TAG, ROLE_CLIENT, ROLE_SERVER, build_version, server_tags

MIN_VERSION_WITH_UNIQUE_IDS = (0, 8, 5)
"""Before it, agents on one host had one id, made from the hardware."""

JOINED_A_WAN_PORT = "; was a WAN port joined in place of a LAN port?"

_GOING = (MemberStatus.LEFT, MemberStatus.LEAVING)


def lan_admission(*, datacenter: str, node_name: str, node_id: str) -> Callable[[Member], str | None]:
    """Agents of this datacenter, none of them under this agent's id, and no server under its name in the WAN pool.

    Consul admits the last: an agent that joined a WAN port by mistake then brings every server into the LAN pool a
    second time, under another name, and the catalog has the node now under the one, now under the other.

    Members without Consul's tags (a plain Serf agent) are admitted: they take part in gossip only.
    """

    def refuse(member: Member) -> str | None:
        if member.name == node_name or member.status in _GOING:
            return None
        if node_id and member.tags.get("id") == node_id:
            return f"Member '{member.name}' has conflicting node ID '{node_id}' with this agent's ID"
        if member.tags.get("role") not in (ROLE_CLIENT, ROLE_SERVER):
            return None
        joined_wan_port = _is_of_wan_pool(member)
        if member.tags.get("dc") != datacenter:
            where = f"part of wrong datacenter '{member.tags.get('dc', '')}'"
            return f"Member '{member.name}' {where}{JOINED_A_WAN_PORT if joined_wan_port else ''}"
        if joined_wan_port:
            return f"Member '{member.name}' is of the WAN pool, which takes no LAN agents{JOINED_A_WAN_PORT}"
        if member.tags.get("segment", ""):
            return f"Member '{member.name}' part of wrong segment '{member.tags['segment']}' (expected '')"
        return None

    return refuse


def _is_of_wan_pool(member: Member) -> bool:
    """Whether a member that the LAN pool is told of is, by its name and tags, one of the WAN pool.

    That pool refuses this agent, but by Serf's protocol it answers a join before it looks at who joins.
    """
    server = server_tags(member)
    if server is None or server.wan_join_port or GENERATION_TAG in member.tags:
        return False
    return member.name == f"{server.name}.{server.datacenter}"


def refuse_shared_ids(members: Sequence[Member]) -> str | None:
    """No two members of the list may have one id: who joins such a pool could not tell them apart in the catalog.

    Two that join one after the other are never in one list that their pool is asked about, as in Consul.
    """
    owners: dict[str, str] = {}
    for member in members:
        node_id = member.tags.get("id", "")
        if not node_id or member.status is MemberStatus.LEFT:
            continue
        if node_id in owners:
            return f"Member '{member.name}' has conflicting node ID '{node_id}' with member '{owners[node_id]}'"
        version = build_version(member)
        if version is not None and version >= MIN_VERSION_WITH_UNIQUE_IDS:
            owners[node_id] = member.name
    return None


def refuse_in_wan(member: Member) -> str | None:
    """Servers of any datacenter, each under its name in this pool, `NODE.DATACENTER`.

    Consul looks at the role only, and so lets a server's LAN pool flow into the WAN pool when it is told to join a WAN
    port. Every server's WAN name has the datacenter at its end, so that asking for it turns away nothing else.
    """
    server = server_tags(member)
    if server is None:
        return f"Member '{member.name}' is not a server"
    if member.name != f"{server.name}.{server.datacenter}":
        return (
            f"Member '{member.name}' is not named '{server.name}.{server.datacenter}', as servers are in the WAN pool; "
            "was a LAN port joined in place of a WAN port, or the LAN pool of an agent told to join a WAN port?"
        )
    return None
