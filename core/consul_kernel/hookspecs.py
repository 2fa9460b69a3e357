"""Every hook, on one page.

Hooks are for finding parts and for notices; work is done by the objects that the register hooks describe
(see `contracts`). A register hook takes no argument and returns one frozen `Plugin` descriptor. Notices are
synchronous, are called in the agent's event loop, and must neither raise nor block; an exception is logged
with the plugin's name and goes no further.
"""

from __future__ import annotations

import pluggy

from consul_kernel.contracts.check import CheckPlugin
from consul_kernel.contracts.cipher import CipherPlugin
from consul_kernel.contracts.consensus import ConsensusPlugin, LeaderChange
from consul_kernel.contracts.dns_answer import DnsAnswerPlugin
from consul_kernel.contracts.interface import AgentApi, InterfacePlugin
from consul_kernel.contracts.membership import GossipEvent, MembershipPlugin
from consul_kernel.contracts.store import StorePlugin
from consul_kernel.contracts.transport import TransportPlugin

PROJECT_NAME = "consul_kernel"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


# --- parts: one hook for each kind, called once for a plugin that the configuration names ---


@hookspec
def consul_kernel_register_transport() -> TransportPlugin:  # type: ignore[empty-body]
    """How packets and streams reach other agents."""


@hookspec
def consul_kernel_register_cipher() -> CipherPlugin:  # type: ignore[empty-body]
    """How gossip is sealed."""


@hookspec
def consul_kernel_register_membership() -> MembershipPlugin:  # type: ignore[empty-body]
    """Who is in the pool."""


@hookspec
def consul_kernel_register_consensus() -> ConsensusPlugin:  # type: ignore[empty-body]
    """How servers agree on one order."""


@hookspec
def consul_kernel_register_store() -> StorePlugin:  # type: ignore[empty-body]
    """Where a server keeps state, log and snapshots."""


@hookspec
def consul_kernel_register_interface() -> InterfacePlugin:  # type: ignore[empty-body]
    """A way in from outside."""


@hookspec
def consul_kernel_register_check() -> CheckPlugin:  # type: ignore[empty-body]
    """How the health of something is probed."""


@hookspec
def consul_kernel_register_dns_answer() -> DnsAnswerPlugin:  # type: ignore[empty-body]
    """Which instances an answer of DNS shows, and in what order."""


# --- notices: any number of plugins may listen ---


@hookspec
def consul_kernel_agent_started(agent: AgentApi) -> None:
    """Every part has started and the interfaces answer."""


@hookspec
def consul_kernel_agent_stopping(agent: AgentApi) -> None:
    """The agent is about to stop; its parts still work."""


@hookspec
def consul_kernel_gossip_event(agent: AgentApi, pool: str, event: GossipEvent) -> None:
    """A member changed or a user event arrived, in pool `lan` or `wan`."""


@hookspec
def consul_kernel_leader_changed(agent: AgentApi, change: LeaderChange) -> None:
    """A server sees another leader, or none. Only called on servers."""
