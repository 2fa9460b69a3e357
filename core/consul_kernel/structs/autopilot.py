"""Autopilot: how the leader looks after the servers."""

from __future__ import annotations

from .record import RaftIndexed


class AutopilotConfig(RaftIndexed, kw_only=True):
    """Its configuration. Durations are nanoseconds. The tags belong to Consul's enterprise edition, and are kept."""

    cleanup_dead_servers: bool = True
    last_contact_threshold: int = 200_000_000
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time: int = 10_000_000_000
    redundancy_zone_tag: str = ""
    disable_upgrade_migration: bool = False
    upgrade_version_tag: str = ""
