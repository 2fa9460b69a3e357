"""What an agent says of itself: `/v1/agent/self` and `consul-kernel info`."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from consul_kernel import __version__
from consul_kernel.config.model import AgentConfig
from consul_kernel.contracts.membership import Member
from consul_kernel.server.server import RaftServer
from consul_kernel.structs.coordinate import Coordinate

from .local import LocalState
from .tags import COMPATIBLE_CONSUL_VERSION

REVISION = f"kernel-{__version__}"


def describe_agent(
    config: AgentConfig,
    *,
    node_id: str,
    member: Member,
    coordinate: Coordinate | None,
    local: LocalState,
    gossip: Mapping[str, str],
    wan_gossip: Mapping[str, str] | None,
    known_servers: int,
    known_datacenters: int,
    server: RaftServer | None,
) -> Mapping[str, Any]:
    """A document of JSON values under Consul's names."""
    return {
        "Config": {
            "Datacenter": config.datacenter,
            "PrimaryDatacenter": config.primary_datacenter,
            "NodeName": config.node_name,
            "NodeID": node_id,
            "Revision": REVISION,
            "Server": config.server,
            "Version": COMPATIBLE_CONSUL_VERSION,
        },
        "DebugConfig": _debug_config(config),
        "Coord": _coordinate_document(coordinate or Coordinate()),
        "Member": member_document(member),
        "Stats": _stats(local, gossip, wan_gossip, known_servers, known_datacenters, server),
        "Meta": {"consul-network-segment": "", **config.node_meta},
    }


def member_document(member: Member) -> dict[str, Any]:
    """A member as `/v1/agent/members` shows it."""
    return {
        "Name": member.name,
        "Addr": member.address.host,
        "Port": member.address.port,
        "Tags": dict(member.tags),
        "Status": int(member.status),
        "ProtocolMin": member.protocol_min,
        "ProtocolMax": member.protocol_max,
        "ProtocolCur": member.protocol_cur,
        "DelegateMin": member.delegate_min,
        "DelegateMax": member.delegate_max,
        "DelegateCur": member.delegate_cur,
    }


def _coordinate_document(place: Coordinate) -> dict[str, Any]:
    return {"Vec": place.vec, "Error": place.error, "Adjustment": place.adjustment, "Height": place.height}


def _debug_config(config: AgentConfig) -> dict[str, Any]:
    """The settings that operators look for; keys are never shown."""
    return {
        "Bootstrap": config.bootstrap,
        "BootstrapExpect": config.bootstrap_expect,
        "BindAddr": config.bind_addr,
        "AdvertiseAddrLAN": config.advertise_addr,
        "AdvertiseAddrWAN": config.advertise_addr_wan,
        "ClientAddrs": list(config.client_addr),
        "DataDir": str(config.data_dir or ""),
        "DNSDomain": config.dns.domain,
        "DevMode": config.dev_mode,
        "LogLevel": config.log_level.upper(),
        "NodeMeta": dict(config.node_meta),
        "RetryJoinLAN": list(config.retry_join),
        "RetryJoinWAN": list(config.retry_join_wan),
        "ServerMode": config.server,
        "ServerPort": config.server_address.port,
        "SerfPortLAN": config.serf_lan_address.port,
        "SerfPortWAN": config.ports["serf_wan"],
    }


def _stats(
    local: LocalState,
    gossip: Mapping[str, str],
    wan_gossip: Mapping[str, str] | None,
    known_servers: int,
    known_datacenters: int,
    server: RaftServer | None,
) -> dict[str, dict[str, str]]:
    ttls = sum(check.type == "ttl" for check in local.checks().values())
    stats = {
        "agent": {
            "check_monitors": str(len(local.checks()) - ttls),
            "check_ttls": str(ttls),
            "checks": str(len(local.checks())),
            "services": str(len(local.services())),
        },
        "build": {"prerelease": "", "revision": REVISION, "version": COMPATIBLE_CONSUL_VERSION},
        "runtime": {
            "arch": platform.machine(),
            "cpu_count": str(os.cpu_count() or 1),
            "os": platform.system().lower(),
            "version": f"python {platform.python_version()}",
        },
        "serf_lan": dict(gossip),
    }
    if wan_gossip is not None:
        stats["serf_wan"] = dict(wan_gossip)
    if server is None:
        stats["consul"] = {"acl": "disabled", "server": "false", "known_servers": str(known_servers)}
    else:
        stats["consul"] = {
            "acl": "disabled",
            "bootstrap": str(server.bootstrapped_alone).lower(),
            "known_datacenters": str(known_datacenters),
            "leader": str(server.is_leader).lower(),
            "leader_addr": server.leader_address(),
            "server": "true",
        }
        stats["raft"] = dict(server.consensus.stats())
    return stats
