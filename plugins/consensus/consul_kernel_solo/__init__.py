"""Consensus of one server with itself, as a plugin: `consensus "solo" { … }`."""

from __future__ import annotations

from consul_kernel.contracts.consensus import Consensus, ConsensusCapability, ConsensusContext, ConsensusPlugin
from consul_kernel.hookspecs import hookimpl

from .config import SoloConfig
from .solo import SoloConsensus

__all__ = ["SoloConfig", "SoloConsensus", "consul_kernel_register_consensus"]


def _create(context: ConsensusContext, config: SoloConfig) -> Consensus:
    return SoloConsensus(context, config)


@hookimpl
def consul_kernel_register_consensus() -> ConsensusPlugin:
    """The descriptor."""
    return ConsensusPlugin(
        name="solo",
        api=1,
        create=_create,
        config_type=SoloConfig,
        capabilities=frozenset({ConsensusCapability.SNAPSHOT_TUNING}),
        summary="one server with a durable log and no elections, for development and embedded use",
    )
