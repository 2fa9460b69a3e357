"""Raft for a `Quorum`, and scenarios run on virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from consul_kernel.contracts.consensus import Consensus, ConsensusContext
from consul_kernel.testing.consensus_quorum import Quorum
from consul_kernel.testing.virtual_time import run_virtual
from consul_kernel_raft import RaftConfig, RaftConsensus

LIMIT_S = 600


def make(context: ConsensusContext) -> Consensus:
    """Raft as it is without a block of its own."""
    return RaftConsensus(context, RaftConfig())


def run(quorum: Quorum, scenario: Callable[[Quorum], Awaitable[None]]) -> None:
    """Start a quorum, let something happen to it, and stop it."""

    async def body() -> None:
        async with quorum:
            await scenario(quorum)

    run_virtual(body(), limit_s=LIMIT_S)
