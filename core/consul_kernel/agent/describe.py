"""What an agent says of itself: `/v1/agent/self` and `consul-kernel info`."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Mapping
from typing import Any

from consul_kernel import __version__
from consul_kernel.config.model import AgentConfig
from consul_kernel.contracts.membership import Member
from consul_kernel.server.server import RaftServer
from consul_kernel.structs.coordinate import Coordinate
from consul_kernel.structs.duration import format_duration_ns

from .local import LocalState
from .tags import COMPATIBLE_CONSUL_VERSION

REVISION = f"kernel-{__version__}"
_GO_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "i686": "386"}
_HIDDEN = "hidden"


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
        "Tags": member.shown_tags,
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
        "CheckOutputMaxSize": config.check_output_max_size,
        "CheckUpdateInterval": _duration(config.check_update_interval_ms),
        "ConnectEnabled": False,
        "ACLsEnabled": False,
        "DNSDomain": config.dns.domain,
        "DNSPort": config.ports.get("dns", -1),
        "DNSAllowStale": config.dns.allow_stale,
        "DNSAltDomain": config.dns.alt_domain,
        "DNSOnlyPassing": config.dns.only_passing,
        "DNSRecursors": list(config.dns.recursors),
        "DNSUDPAnswerLimit": config.dns.udp_answer_limit,
        "Datacenter": config.datacenter,
        "DevMode": config.dev_mode,
        "DisableCoordinates": config.disable_coordinates,
        "DisableKeyringFile": config.disable_keyring_file,
        "DiscardCheckOutput": config.discard_check_output,
        "DiscoveryMaxStale": _duration(config.http.discovery_max_stale_ms),
        "EnableDebug": config.http.enable_debug,
        "EnableLocalScriptChecks": config.enable_local_script_checks,
        "EnableRemoteScriptChecks": config.enable_script_checks,
        "EncryptKey": _HIDDEN if config.encrypt else "",
        "EncryptVerifyIncoming": config.encrypt_verify_incoming,
        "EncryptVerifyOutgoing": config.encrypt_verify_outgoing,
        "HTTPBlockEndpoints": list(config.http.block_endpoints),
        "HTTPMaxConnsPerClient": config.limits.http_max_conns_per_client,
        "HTTPPort": config.ports.get("http", -1),
        "HTTPResponseHeaders": dict(config.http.response_headers),
        "KVMaxValueSize": config.limits.kv_max_value_size,
        "LeaveDrainTime": _duration(config.leave_drain_time_ms),
        "LeaveOnTerm": config.leave_on_terminate,
        "LogLevel": config.log_level.upper(),
        "NodeMeta": dict(config.node_meta),
        "NodeName": config.node_name,
        "PidFile": str(config.pid_file or ""),
        "PrimaryDatacenter": config.primary_datacenter,
        "RPCHoldTimeout": _duration(config.rpc_hold_timeout_ms),
        "RPCMaxConnsPerClient": config.limits.rpc_max_conns_per_client,
        "RaftSnapshotInterval": _duration(config.raft_snapshot_interval_ms),
        "RaftSnapshotThreshold": config.raft_snapshot_threshold,
        "RaftTrailingLogs": config.raft_trailing_logs,
        "RejoinAfterLeave": config.rejoin_after_leave,
        "RetryJoinLAN": list(config.retry_join),
        "RetryJoinWAN": list(config.retry_join_wan),
        "ServerMode": config.server,
        "ServerPort": config.server_address.port,
        "SerfPortLAN": config.serf_lan_address.port,
        "SerfPortWAN": config.ports["serf_wan"],
        "SkipLeaveOnInt": config.skip_leave_on_interrupt,
        "TaggedAddresses": dict(config.tagged_addresses),
        "TxnMaxReqLen": config.limits.txn_max_req_len,
        "Version": COMPATIBLE_CONSUL_VERSION,
    }


def _duration(milliseconds: int) -> str:
    return format_duration_ns(milliseconds * 1_000_000)


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
            "arch": _GO_ARCHITECTURES.get(platform.machine(), platform.machine()),
            "cpu_count": str(os.cpu_count() or 1),
            "goroutines": str(len(asyncio.all_tasks())),
            "max_procs": str(os.cpu_count() or 1),
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
