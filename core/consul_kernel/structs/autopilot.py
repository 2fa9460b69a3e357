"""Autopilot: how the leader looks after the servers, and what it sees of them.

Durations are nanoseconds, moments Go's 15 bytes (`go_time`). Names and shapes are those of Consul's RPC.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import field

from .query import DatacenterRequest
from .record import RaftIndexed, Record


class AutopilotConfig(RaftIndexed, kw_only=True):
    """Its configuration. The tags belong to Consul's enterprise edition, and are kept."""

    cleanup_dead_servers: bool = True
    last_contact_threshold: int = 200_000_000
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time: int = 10_000_000_000
    redundancy_zone_tag: str = ""
    disable_upgrade_migration: bool = False
    upgrade_version_tag: str = ""


class AutopilotSetConfigRequest(DatacenterRequest, kw_only=True):
    """Replace the configuration; with `cas` only if it was last changed at the one's `modify_index`."""

    config: AutopilotConfig = field(default_factory=AutopilotConfig)
    cas: bool = False


class RaftStats(Record, kw_only=True):
    """How far a server is, by its own word. `last_contact` is "0" on the leader, "never", or a Go duration."""

    last_contact: str = ""
    last_term: int = 0
    last_index: int = 0


class NodeStatus(StrEnum):
    """What gossip has to say of a server."""

    UNKNOWN = "unknown"
    ALIVE = "alive"
    FAILED = "failed"
    LEFT = "left"


class RaftState(StrEnum):
    """A server's part in the quorum."""

    NONE = "none"
    LEADER = "leader"
    VOTER = "voter"
    NON_VOTER = "non-voter"


class AutopilotServer(Record, kw_only=True):
    """A server of the quorum as gossip knows it."""

    id: str = ""
    name: str = ""
    address: str = ""
    node_status: str = NodeStatus.UNKNOWN
    version: str = ""
    meta: dict[str, str] | None = None
    raft_version: int = 0
    is_leader: bool = False
    node_type: str = "voter"


class AutopilotServerStats(Record, kw_only=True):
    """How far it is; `last_contact` is -1 where it never heard a leader."""

    last_contact: int = 0
    last_term: int = 0
    last_index: int = 0


class AutopilotServerHealth(Record, kw_only=True):
    """Whether it keeps up, and since when that is so."""

    healthy: bool = False
    stable_since: bytes = b""


class AutopilotServerState(Record, kw_only=True):
    """Everything about one server."""

    server: AutopilotServer = field(default_factory=AutopilotServer)
    state: str = RaftState.NONE
    stats: AutopilotServerStats = field(default_factory=AutopilotServerStats)
    health: AutopilotServerHealth = field(default_factory=AutopilotServerHealth)


class AutopilotState(Record, kw_only=True):
    """What the leader sees. `failure_tolerance` is how many healthy voters may fail before writes stop."""

    healthy: bool = False
    failure_tolerance: int = 0
    servers: dict[str, AutopilotServerState] | None = None
    leader: str = ""
    voters: list[str] | None = None


class ServerHealth(Record, kw_only=True):
    """One server, in the older form. `serf_status` is Serf's number: 1 alive, 3 left, 4 failed, 0 none."""

    id: str = ""
    name: str = ""
    address: str = ""
    serf_status: int = 0
    version: str = ""
    leader: bool = False
    last_contact: int = 0
    last_term: int = 0
    last_index: int = 0
    healthy: bool = False
    voter: bool = False
    stable_since: bytes = b""


class ClusterHealth(Record, kw_only=True):
    """All servers, in the older form."""

    healthy: bool = False
    failure_tolerance: int = 0
    servers: list[ServerHealth] | None = None
