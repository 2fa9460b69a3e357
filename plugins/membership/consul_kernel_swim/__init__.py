"""The `swim` membership: SWIM gossip with Lifeguard, on the wire of memberlist and Serf."""

from __future__ import annotations

from consul_kernel.contracts.membership import MembershipPlugin
from consul_kernel.contracts.membership_capabilities import MembershipCapability
from consul_kernel.contracts.plugin import Plugin
from consul_kernel.contracts.simulation import Simulation
from consul_kernel.hookspecs import hookimpl

from .config import SwimConfig
from .driver import SwimMembership

__all__ = ["SwimConfig", "SwimMembership", "consul_kernel_register_membership"]


def _simulation() -> Simulation:
    from .simulation.simulation import GossipSimulation

    return GossipSimulation()


@hookimpl
def consul_kernel_register_membership() -> MembershipPlugin:
    """The descriptor that the kernel asks for."""
    return Plugin(
        name="swim",
        api=1,
        create=SwimMembership,
        config_type=SwimConfig,
        capabilities=frozenset(MembershipCapability),
        summary="SWIM gossip, compatible with memberlist and Serf",
        simulation=_simulation,
    )
