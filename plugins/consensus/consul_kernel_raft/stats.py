"""What a server says of itself: its status, and figures for `info` under the names of Consul's `raft` section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from consul_kernel.contracts.consensus import ConsensusStatus, Role, Server, Suffrage

from .core import Raft
from .wire import PROTOCOL_VERSION


class LeadershipView(NamedTuple):
    """Whom the agent is told of: nobody in term 0, or a leader and its term; `is_self` once it may propose."""

    term: int = 0
    leader_id: str | None = None
    is_self: bool = False


def leadership_view(raft: Raft) -> LeadershipView:
    """Leadership as the agent should see it now."""
    leadership = raft.leadership
    if leadership is not None and raft.applied_index < leadership.term_start_index:
        return LeadershipView()  # told once its first entry is applied: then it has all that was acknowledged
    leader_id = raft.leader_id
    if leader_id is None or raft.configuration.get(leader_id) is None:
        # A leader's address is not known before its first entries have come; one that removes itself has none.
        return LeadershipView(is_self=leadership is not None)
    return LeadershipView(raft.term, leader_id, leadership is not None)


def status_before_start(*, is_closed: bool) -> ConsensusStatus:
    """The status of a server that has recovered nothing yet."""
    return ConsensusStatus(
        role=Role.SHUTDOWN if is_closed else Role.FOLLOWER,
        term=0,
        leader=None,
        last_log_index=0,
        last_log_term=0,
        commit_index=0,
        applied_index=0,
        last_contact_ms=None,
    )


def describe_status(raft: Raft, leader: Server | None, now_ms: int, *, is_running: bool) -> ConsensusStatus:
    """The view at this moment; `leader` is whom the agent was told of."""
    leads = raft.leadership is not None and is_running
    contact_ms = raft.leader_contact_ms
    return ConsensusStatus(
        role=raft.role if is_running else Role.SHUTDOWN,
        term=raft.term,
        leader=leader,
        last_log_index=raft.log.last_index,
        last_log_term=raft.log.last_term,
        commit_index=raft.commit_index,
        applied_index=raft.applied_index,
        last_contact_ms=0 if leads else None if contact_ms is None else now_ms - contact_ms,
    )


def raft_stats(raft: Raft, status: ConsensusStatus, dropped: Mapping[str, int]) -> Mapping[str, str]:
    """All values are text. `dropped` says by name how often something of a peer's was dropped."""
    configuration = raft.configuration
    voters = [server for server in configuration.servers if server.suffrage is Suffrage.VOTER]
    others = len(voters) - (1 if raft.id in raft.voters else 0)
    servers = " ".join(
        f"{{Suffrage:{server.suffrage.value.capitalize()} ID:{server.id} Address:{server.address}}}"
        for server in configuration.servers
    )
    figures = {
        "applied_index": str(status.applied_index),
        "commit_index": str(status.commit_index),
        "fsm_pending": str(max(0, status.commit_index - status.applied_index)),
        "last_contact": _last_contact(status.last_contact_ms),
        "last_log_index": str(status.last_log_index),
        "last_log_term": str(status.last_log_term),
        "last_snapshot_index": str(raft.log.snapshot_index),
        "last_snapshot_term": str(raft.log.snapshot_term),
        "latest_configuration": f"[{servers}]",
        "latest_configuration_index": str(configuration.index),
        "num_peers": str(others),
        "peer_errors": str(raft.peer_errors),
        "protocol_version": str(PROTOCOL_VERSION),
        "protocol_version_max": str(PROTOCOL_VERSION),
        "protocol_version_min": "0",
        "snapshot_version_max": "1",
        "snapshot_version_min": "0",
        "state": status.role.value,
        "term": str(status.term),
    }
    figures.update((name, str(count)) for name, count in dropped.items())
    return figures


def _last_contact(last_contact_ms: int | None) -> str:
    if last_contact_ms is None:
        return "never"
    return f"{last_contact_ms}ms" if last_contact_ms else "0"
