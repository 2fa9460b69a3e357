"""What the server says of itself, under the names of Consul's `raft` section."""

from __future__ import annotations

from collections.abc import Mapping

from consul_kernel.contracts.consensus import Configuration, ConsensusContext, ConsensusStatus, Role, Server


def describe(context: ConsensusContext, role: Role, term: int, leader: Server | None) -> ConsensusStatus:
    """The view at this moment: what the log has is committed."""
    log = context.log
    return ConsensusStatus(
        role=role,
        term=term,
        leader=leader,
        last_log_index=log.last_index,
        last_log_term=log.term(log.last_index) or 0,
        commit_index=log.last_index,
        applied_index=context.state_machine.applied_index,
        last_contact_ms=0 if role is Role.LEADER else None,
    )


def figures(status: ConsensusStatus, configuration: Configuration, snapshot_index: int) -> Mapping[str, str]:
    """All values are text."""
    named = [f"{{Suffrage:Voter ID:{server.id} Address:{server.address}}}" for server in configuration.servers]
    return {
        "applied_index": str(status.applied_index),
        "commit_index": str(status.commit_index),
        "fsm_pending": str(max(0, status.commit_index - status.applied_index)),
        "last_contact": "never" if status.last_contact_ms is None else "0",
        "last_log_index": str(status.last_log_index),
        "last_log_term": str(status.last_log_term),
        "last_snapshot_index": str(snapshot_index),
        "latest_configuration": f"[{' '.join(named)}]",
        "latest_configuration_index": str(configuration.index),
        "num_peers": "0",
        "state": status.role.value,
        "term": str(status.term),
    }
