"""DNS: the catalog as names, as Consul's agent answers them on port 8600."""

from __future__ import annotations

from consul_kernel.contracts.interface import InterfaceContext, InterfacePlugin
from consul_kernel.hookspecs import hookimpl

from .config import DnsInterfaceConfig
from .interface import DnsInterface

__all__ = ["DnsInterface", "DnsInterfaceConfig", "consul_kernel_register_interface"]


def _create(context: InterfaceContext, config: DnsInterfaceConfig) -> DnsInterface:
    return DnsInterface(context, config)


@hookimpl
def consul_kernel_register_interface() -> InterfacePlugin:
    """The descriptor of `interface "dns" {}`."""
    return InterfacePlugin(
        name="dns",
        api=1,
        create=_create,
        config_type=DnsInterfaceConfig,
        summary="Services and nodes as DNS names over UDP and TCP",
    )
