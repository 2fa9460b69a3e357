"""Which servers keep up, since when, and how many more may fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consul_kernel.contracts.consensus import Server, Suffrage
from consul_kernel.structs.autopilot import AutopilotConfig, NodeStatus


@dataclass(frozen=True, slots=True)
class Stats:
    """How far a server is, by its own word; `last_contact_ns` is -1 where it never heard a leader."""

    last_contact_ns: int
    last_term: int
    last_index: int


SILENT = Stats(last_contact_ns=-1, last_term=0, last_index=0)
"""Of a server that does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One server of the quorum at one moment: by the quorum's list, by gossip, and by its own word."""

    server: Server
    name: str = ""
    status: NodeStatus = NodeStatus.UNKNOWN
    version: str = ""
    raft_version: int = 0
    meta: Mapping[str, str] = field(default_factory=dict)
    stats: Stats = SILENT

    @property
    def has_vote(self) -> bool:
        return self.server.suffrage is Suffrage.VOTER


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a server keeps up, and since when: on the leader's monotonic clock, and as a moment."""

    healthy: bool
    since_ms: int
    since_unix_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """All servers of the quorum that gossip knows, at one moment of one leader's time."""

    leader_id: str
    sightings: Mapping[str, Sighting]
    health: Mapping[str, Health]
    watched_since_ms: int
    """Since when this leader has watched."""

    @property
    def voters(self) -> list[str]:
        """The ids of the servers with a vote, sorted."""
        return sorted(server_id for server_id, sighting in self.sightings.items() if sighting.has_vote)

    @property
    def healthy(self) -> bool:
        """Whether every server is."""
        return all(health.healthy for health in self.health.values())

    @property
    def failure_tolerance(self) -> int:
        """How many healthy voters may fail before no majority of all voters is left."""
        voters = self.voters
        healthy = sum(self.health[server_id].healthy for server_id in voters)
        return max(0, healthy - (len(voters) // 2 + 1))


def keeps_up(sighting: Sighting, leader: Stats, config: AutopilotConfig) -> bool:
    """Whether a server is alive, hears the leader, is in its term, and not far behind it."""
    stats = sighting.stats
    return (
        sighting.status is NodeStatus.ALIVE
        and 0 <= stats.last_contact_ns <= config.last_contact_threshold
        and stats.last_term == leader.last_term
        and stats.last_index >= leader.last_index - config.max_trailing_logs
    )


def judge(
    before: Judgement | None,
    sightings: Sequence[Sighting],
    leader_id: str,
    config: AutopilotConfig,
    *,
    now_ms: int,
    now_unix_ns: int,
) -> Judgement:
    """A new judgement in the light of the one before: how long something is so counts from when it became so."""
    by_id = {sighting.server.id: sighting for sighting in sightings}
    leader = by_id[leader_id].stats if leader_id in by_id else SILENT
    health = {}
    for server_id, sighting in by_id.items():
        healthy = keeps_up(sighting, leader, config)
        known = before.health.get(server_id) if before is not None else None
        is_news = known is None or known.healthy is not healthy
        health[server_id] = Health(healthy, now_ms, now_unix_ns) if is_news or known is None else known
    watched_since_ms = before.watched_since_ms if before is not None else now_ms
    return Judgement(leader_id=leader_id, sightings=by_id, health=health, watched_since_ms=watched_since_ms)
