"""Transport `tcp`: packets over UDP and streams over TCP, on IPv4 and IPv6."""

from __future__ import annotations

from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.contracts.transport import TransportContext, TransportPlugin
from consul_kernel.hookspecs import hookimpl

from .transport import TcpTransport


def _create(context: TransportContext, config: PluginConfig) -> TcpTransport:
    return TcpTransport()


PLUGIN = TransportPlugin(name="tcp", api=1, create=_create, summary="UDP packets and TCP streams, IPv4 and IPv6")


@hookimpl
def consul_kernel_register_transport() -> TransportPlugin:
    """Offer this transport."""
    return PLUGIN
