"""Consul's HTTP API as an interface plugin, on aiohttp's low-level server."""

from __future__ import annotations

from consul_kernel.contracts.interface import AgentApi, InterfacePlugin
from consul_kernel.contracts.membership import GossipEvent, UserEvent
from consul_kernel.hookspecs import hookimpl

from .event_log import note_event
from .interface import HttpConfig, HttpInterface

__all__ = ["HttpConfig", "HttpInterface", "consul_kernel_gossip_event", "consul_kernel_register_interface"]


@hookimpl
def consul_kernel_register_interface() -> InterfacePlugin:
    """The interface named `http`."""
    return InterfacePlugin(
        name="http",
        api=1,
        create=HttpInterface,
        config_type=HttpConfig,
        summary="Consul's HTTP API on aiohttp",
    )


@hookimpl
def consul_kernel_gossip_event(agent: AgentApi, pool: str, event: GossipEvent) -> None:
    """Keep the user events that reach the agent, for `/v1/event/list`."""
    if isinstance(event, UserEvent):
        note_event(agent, event)
