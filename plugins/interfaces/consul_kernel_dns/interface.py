"""The interface: every address on UDP and TCP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import msgspec

from consul_kernel.contracts.dns_answer import DnsAnswers
from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.contracts.interface import InterfaceContext, InterfaceSettings
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.settings import DnsSettings

from .answerer import Answerer
from .config import DnsInterfaceConfig
from .tcp import TcpServer
from .udp import UdpServer

_DEFAULT_PORT = 8600
_DEFAULT_HOST = "127.0.0.1"
_FREE_PORT_TRIES = 16
_FIXED_KEYS = ("address", "port")
"""What a running interface does not change."""


class DnsInterface:
    """Serves DNS until it is closed."""

    def __init__(self, context: InterfaceContext, config: DnsInterfaceConfig) -> None:
        self._config = config
        self._bind = _bind_addresses(context.bind, config)
        self._agent = context.agent
        self._metrics = context.metrics
        self._answerer = self._make_answerer(context.dns, context.dns_answers)
        self._servers: list[UdpServer | TcpServer] = []
        self._addresses: list[Address] = []

    async def start(self) -> None:
        """Bind and serve. Raises PluginStartError, naming the address, when it cannot be bound."""
        for address in self._bind:
            try:
                self._addresses.append(await self._open(address))
            except OSError as error:
                await self.aclose()
                raise PluginStartError(f"dns: cannot listen on {address}: {error}") from error

    def reload(self, settings: InterfaceSettings, config: DnsInterfaceConfig) -> Sequence[str]:
        """Answer by other settings. What is prepared of answers goes by the old ones, and is dropped."""
        fixed = [key for key in _FIXED_KEYS if getattr(config, key) != getattr(self._config, key)]
        bound = {key: getattr(self._config, key) for key in _FIXED_KEYS}
        self._config = msgspec.structs.replace(config, **bound)
        self._answerer = self._make_answerer(settings.dns, settings.dns_answers)
        for server in self._servers:
            server.settle(self._answerer, config)
        return fixed

    def addresses(self) -> Sequence[str]:
        """Where it serves."""
        return [f"{address} ({network})" for address in self._addresses for network in ("udp", "tcp")]

    async def aclose(self) -> None:
        """Take no more queries, give those under way a second, and close every socket."""
        servers, self._servers, self._addresses = self._servers, [], []
        await asyncio.gather(*(server.aclose() for server in servers))

    def _make_answerer(self, settings: DnsSettings, answers: DnsAnswers) -> Answerer:
        return Answerer(
            self._agent,
            settings,
            max_plans=self._config.max_cached_questions,
            catalog_timeout_ms=self._config.catalog_timeout_ms,
            rng=random.Random(),
            metrics=self._metrics,
            answers=answers,
        )

    async def _open(self, bind: Address) -> Address:
        """One address on both networks. A port that was free for UDP may be taken for TCP: then another one."""
        for attempt in range(1, _FREE_PORT_TRIES + 1):
            udp = UdpServer(self._answerer, self._config)
            tcp = TcpServer(self._answerer, self._config)
            bound = udp.open(bind)
            try:
                await tcp.open(bound)
            except OSError:
                await udp.aclose()
                if bind.port != 0 or attempt == _FREE_PORT_TRIES:
                    raise
                continue
            self._servers += [udp, tcp]
            return bound
        raise AssertionError("unreachable")


def _bind_addresses(bind: Sequence[Address], config: DnsInterfaceConfig) -> list[Address]:
    """The agent file's addresses, with what the plugin's own block says in their place."""
    if config.address is not None:
        port = bind[0].port if bind else _DEFAULT_PORT
        return [Address(config.address, port if config.port is None else config.port)]
    if config.port is None:
        return list(bind)
    hosts = dict.fromkeys(address.host for address in bind) or {_DEFAULT_HOST: None}
    return [Address(host, config.port) for host in hosts]
