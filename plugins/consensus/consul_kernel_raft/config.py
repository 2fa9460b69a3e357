"""The `consensus "raft"` block, and the times that come of it."""

from __future__ import annotations

from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.contracts.plugin import PluginConfig

from .core import Timing

HEARTBEAT_MS = 1000
ELECTION_MS = 1000
LEASE_MS = 500
COMMIT_MS = 50


class RaftConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Times are in ms; 0 stands for the default named. All but `commit_ms` are multiplied by the agent file's
    `performance.raft_multiplier` (5). They must satisfy 0 < lease < heartbeat <= election, and be alike on all servers.
    """

    heartbeat_ms: int = 0
    """A follower that has heard no leader for this long (up to twice that) calls an election. Default 1000."""
    election_ms: int = 0
    """An election without outcome is repeated after this long (up to twice that). Default: `heartbeat_ms`."""
    lease_ms: int = 0
    """How long a leader answers reads on its own after a quorum was in touch. Default: half of `heartbeat_ms`."""
    commit_ms: int = 0
    """How long followers may wait to learn of a commitment while nothing else is sent. Default 50."""
    proposals_max: int = 0
    """Commands that wait to be applied at once; more are refused. Default 8192."""


def resolve_timing(config: RaftConfig, multiplier: int) -> Timing:
    """The times of one server. Raises PluginStartError for times that cannot work together."""
    heartbeat_ms = config.heartbeat_ms or HEARTBEAT_MS
    election_ms = config.election_ms or max(heartbeat_ms, ELECTION_MS if not config.heartbeat_ms else 0)
    lease_ms = config.lease_ms or heartbeat_ms * LEASE_MS // HEARTBEAT_MS
    try:
        return Timing(
            heartbeat_timeout_ms=heartbeat_ms * multiplier,
            election_timeout_ms=election_ms * multiplier,
            lease_ms=lease_ms * multiplier,
            commit_ms=config.commit_ms or COMMIT_MS,
            heartbeat_interval_ms=max(1, heartbeat_ms * multiplier // 10),
        )
    except ValueError as error:
        raise PluginStartError(f'consensus "raft": {error}') from error
