"""What follows from a judgement: who gets a vote, and who is taken out."""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.structs.autopilot import AutopilotConfig, NodeStatus

from .judging import SILENT, Judgement

_NS_PER_MS = 1_000_000


def to_promote(judgement: Judgement, config: AutopilotConfig, now_ms: int) -> list[str]:
    """The servers without a vote that have been healthy for the stabilisation time, sorted by id.

    A leader that has watched for less than 1.1 times that cannot know how long they have been: then whoever is healthy.
    """
    wanted_ms = config.server_stabilization_time // _NS_PER_MS
    if now_ms - judgement.watched_since_ms <= wanted_ms * 11 // 10:
        wanted_ms = 0
    return sorted(
        server_id
        for server_id, health in judgement.health.items()
        if not judgement.sightings[server_id].has_vote and health.healthy and now_ms - health.since_ms >= wanted_ms
    )


def to_remove(judgement: Judgement, stale: Sequence[str], voters: int, config: AutopilotConfig) -> list[str]:
    """The dead among the servers: those that gossip has for failed, and `stale` ones, of which it knows nothing.

    Whoever answers is not dead: after a cut the leader reaches a server again before gossip has met it.

    `voters` is how many servers of the quorum have a vote, the dead included. Of those at most a minority goes in one
    round, and none that would leave fewer than the configured minimum.
    """
    if not config.cleanup_dead_servers:
        return []
    dead = {
        server_id: sighting.has_vote
        for server_id, sighting in judgement.sightings.items()
        if sighting.status is NodeStatus.FAILED and sighting.stats == SILENT
    }
    removable = max(0, min((voters - 1) // 2, voters - config.min_quorum))
    chosen = [server_id for server_id, has_vote in dead.items() if not has_vote]
    candidates = [server_id for server_id, has_vote in dead.items() if has_vote] + list(stale)
    return sorted(chosen) + sorted(candidates)[:removable]
