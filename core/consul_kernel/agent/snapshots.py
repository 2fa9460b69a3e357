"""The agent's way to archives of the whole state."""

from __future__ import annotations

import random

from consul_kernel.config.model import AgentConfig
from consul_kernel.contracts.transport import Transport
from consul_kernel.rpc.directory import ServerDirectory
from consul_kernel.server.server import RaftServer
from consul_kernel.snapshot.dispatch import SnapshotDispatcher

from .clock import monotonic_ms


def make_dispatcher(
    config: AgentConfig,
    node_id: str,
    transport: Transport,
    directory: ServerDirectory,
    rng: random.Random,
    server: RaftServer | None,
) -> SnapshotDispatcher:
    """What saves and restores on behalf of the agent; `server` is open."""
    return SnapshotDispatcher(
        datacenter=config.datacenter,
        directory=directory,
        transport=transport,
        now_ms=monotonic_ms,
        rng=rng,
        server_id=node_id if server is not None else "",
        local=server.snapshots if server is not None else None,
        consensus=server.consensus if server is not None else None,
        hold_timeout_ms=config.rpc_hold_timeout_ms,
    )
