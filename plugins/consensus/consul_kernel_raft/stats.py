"""Figures for `info`, under the names of Consul's `raft` section."""

from __future__ import annotations

from collections.abc import Mapping

from consul_kernel.contracts.consensus import ConsensusStatus, Suffrage

from .core import Raft
from .wire import PROTOCOL_VERSION


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
