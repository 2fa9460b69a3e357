"""Consensus by Raft, as a plugin: `consensus "raft" { … }`."""

from __future__ import annotations

from consul_kernel.contracts.consensus import Consensus, ConsensusCapability, ConsensusContext, ConsensusPlugin
from consul_kernel.contracts.simulation import Simulation
from consul_kernel.hookspecs import hookimpl

from .config import RaftConfig
from .driver import RaftConsensus

__all__ = ["RaftConfig", "RaftConsensus", "consul_kernel_register_consensus"]


def _create(context: ConsensusContext, config: RaftConfig) -> Consensus:
    return RaftConsensus(context, config)


def _simulation() -> Simulation:
    from .simulation.simulation import RaftSimulation

    return RaftSimulation()


@hookimpl
def consul_kernel_register_consensus() -> ConsensusPlugin:
    """The descriptor."""
    return ConsensusPlugin(
        name="raft",
        api=1,
        create=_create,
        config_type=RaftConfig,
        capabilities=frozenset(ConsensusCapability),
        summary="Raft with pre-vote, leader lease, snapshots and membership changes",
        simulation=_simulation,
    )
