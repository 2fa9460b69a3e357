"""Autopilot: its configuration, and what the leader sees of the servers. Durations are texts here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from consul_kernel.structs.autopilot import (
    AutopilotConfig,
    AutopilotServerState,
    AutopilotState,
    ClusterHealth,
    ServerHealth,
)
from consul_kernel.structs.duration import format_duration_ns
from consul_kernel.structs.go_time import show_time, unpack_time
from consul_kernel.structs.record import go_name

_SERF_STATUSES = {0: "none", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}


class AutopilotConfigView(msgspec.Struct, rename=go_name, gc=False):
    """The configuration."""

    cleanup_dead_servers: bool
    last_contact_threshold: str
    max_trailing_logs: int
    min_quorum: int
    server_stabilization_time: str
    redundancy_zone_tag: str
    disable_upgrade_migration: bool
    upgrade_version_tag: str
    create_index: int
    modify_index: int


class ServerHealthView(msgspec.Struct, rename=go_name, gc=False):
    """One server, in the older form."""

    id: str
    name: str
    address: str
    serf_status: str
    version: str
    leader: bool
    last_contact: str
    last_term: int
    last_index: int
    healthy: bool
    voter: bool
    stable_since: str


class ClusterHealthView(msgspec.Struct, rename=go_name, gc=False):
    """All servers, in the older form."""

    healthy: bool
    failure_tolerance: int
    servers: Sequence[ServerHealthView]


class AutopilotServerView(msgspec.Struct, rename=go_name, gc=False):
    """One server."""

    id: str
    name: str
    address: str
    node_status: str
    version: str
    last_contact: str
    last_term: int
    last_index: int
    healthy: bool
    stable_since: str
    read_replica: bool
    status: str
    meta: Mapping[str, str] | None
    node_type: str


class AutopilotStateView(msgspec.Struct, rename=go_name, gc=False):
    """All servers by id. The two tolerances differ in Consul's enterprise edition only."""

    healthy: bool
    failure_tolerance: int
    optimistic_failure_tolerance: int
    servers: Mapping[str, AutopilotServerView]
    leader: str
    voters: Sequence[str]


def autopilot_config_view(config: AutopilotConfig) -> AutopilotConfigView:
    """The configuration."""
    return AutopilotConfigView(
        config.cleanup_dead_servers,
        format_duration_ns(config.last_contact_threshold),
        config.max_trailing_logs,
        config.min_quorum,
        format_duration_ns(config.server_stabilization_time),
        config.redundancy_zone_tag,
        config.disable_upgrade_migration,
        config.upgrade_version_tag,
        config.create_index,
        config.modify_index,
    )


def cluster_health_view(health: ClusterHealth) -> ClusterHealthView:
    """The older form."""
    servers = [_server_health(server) for server in health.servers or []]
    return ClusterHealthView(health.healthy, health.failure_tolerance, servers)


def _server_health(server: ServerHealth) -> ServerHealthView:
    return ServerHealthView(
        server.id,
        server.name,
        server.address,
        _SERF_STATUSES.get(server.serf_status, "unknown"),
        server.version,
        server.leader,
        format_duration_ns(server.last_contact),
        server.last_term,
        server.last_index,
        server.healthy,
        server.voter,
        show_time(unpack_time(server.stable_since)),
    )


def autopilot_state_view(state: AutopilotState) -> AutopilotStateView:
    """The tree."""
    return AutopilotStateView(
        state.healthy,
        state.failure_tolerance,
        state.failure_tolerance,
        {server_id: _server(server) for server_id, server in sorted((state.servers or {}).items())},
        state.leader,
        state.voters or [],
    )


def _server(state: AutopilotServerState) -> AutopilotServerView:
    server, stats, health = state.server, state.stats, state.health
    return AutopilotServerView(
        server.id,
        server.name,
        server.address,
        server.node_status,
        server.version,
        format_duration_ns(stats.last_contact),
        stats.last_term,
        stats.last_index,
        health.healthy,
        show_time(unpack_time(health.stable_since)),
        False,
        state.state,
        server.meta,
        server.node_type,
    )
