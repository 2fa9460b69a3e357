"""TCP checks: passing while a connection can be made."""

from __future__ import annotations

import asyncio

from consul_kernel.contracts.check import CheckContext, CheckPlugin, Outcome
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.hookspecs import hookimpl
from consul_kernel.structs.check import CheckStatus

from .dialling import dial_failure
from .targets import split_target


class TcpConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a definition beside those of every check."""

    tcp: str = ""
    """`host:port` to which a connection is made."""


class TcpCheck:
    """Connects and closes again."""

    def __init__(self, context: CheckContext, config: TcpConfig) -> None:
        self._text = config.tcp
        self._target = split_target(config.tcp)

    async def probe(self) -> Outcome:
        """Connect once."""
        target = self._target
        try:
            _, writer = await asyncio.open_connection(target.host, target.port)
        except OSError as error:
            return Outcome(CheckStatus.CRITICAL, dial_failure(target.host, target.port, error))
        writer.transport.abort()
        return Outcome(CheckStatus.PASSING, f"TCP connect {self._text}: Success")

    def timed_out(self) -> Outcome:
        """As Go's dialler words it."""
        return Outcome(CheckStatus.CRITICAL, f"dial tcp {self._text}: i/o timeout")


@hookimpl
def consul_kernel_register_check() -> CheckPlugin:
    """Offer this kind."""
    return CheckPlugin(
        name="tcp", api=1, create=TcpCheck, config_type=TcpConfig, summary="whether a TCP connection can be made"
    )
