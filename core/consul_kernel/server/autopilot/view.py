"""A judgement in the forms in which it is asked for."""

from __future__ import annotations

from consul_kernel.structs.autopilot import (
    AutopilotServer,
    AutopilotServerHealth,
    AutopilotServerState,
    AutopilotServerStats,
    AutopilotState,
    ClusterHealth,
    NodeStatus,
    RaftState,
    ServerHealth,
)
from consul_kernel.structs.go_time import pack_time

from .judging import Judgement, Sighting

_SERF_STATUS = {NodeStatus.UNKNOWN: 0, NodeStatus.ALIVE: 1, NodeStatus.LEFT: 3, NodeStatus.FAILED: 4}


def autopilot_state(judgement: Judgement) -> AutopilotState:
    """Everything, as a tree by server."""
    return AutopilotState(
        healthy=judgement.healthy,
        failure_tolerance=judgement.failure_tolerance,
        servers={server_id: _server(judgement, sighting) for server_id, sighting in judgement.sightings.items()},
        leader=judgement.leader_id,
        voters=judgement.voters,
    )


def _server(judgement: Judgement, sighting: Sighting) -> AutopilotServerState:
    server, stats, health = sighting.server, sighting.stats, judgement.health[sighting.server.id]
    leads = server.id == judgement.leader_id
    part = RaftState.LEADER if leads else RaftState.VOTER if sighting.has_vote else RaftState.NON_VOTER
    return AutopilotServerState(
        server=AutopilotServer(
            id=server.id,
            name=sighting.name,
            address=server.address,
            node_status=sighting.status,
            version=sighting.version,
            meta=dict(sighting.meta),
            raft_version=sighting.raft_version,
            is_leader=leads,
        ),
        state=part,
        stats=AutopilotServerStats(
            last_contact=stats.last_contact_ns, last_term=stats.last_term, last_index=stats.last_index
        ),
        health=AutopilotServerHealth(healthy=health.healthy, stable_since=pack_time(health.since_unix_ns)),
    )


def cluster_health(judgement: Judgement) -> ClusterHealth:
    """The older, flat form."""
    return ClusterHealth(
        healthy=judgement.healthy,
        failure_tolerance=judgement.failure_tolerance,
        servers=[_server_health(judgement, sighting) for sighting in judgement.sightings.values()],
    )


def _server_health(judgement: Judgement, sighting: Sighting) -> ServerHealth:
    server, stats, health = sighting.server, sighting.stats, judgement.health[sighting.server.id]
    return ServerHealth(
        id=server.id,
        name=sighting.name,
        address=server.address,
        serf_status=_SERF_STATUS[sighting.status],
        version=sighting.version,
        leader=server.id == judgement.leader_id,
        last_contact=stats.last_contact_ns,
        last_term=stats.last_term,
        last_index=stats.last_index,
        healthy=health.healthy,
        voter=sighting.has_vote,
        stable_since=pack_time(health.since_unix_ns),
    )
