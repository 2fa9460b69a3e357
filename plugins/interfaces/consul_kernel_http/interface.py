"""The HTTP interface: listening sockets, their connections, and how they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.contracts.interface import InterfaceContext, InterfaceSettings
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.settings import HttpSettings, LimitSettings

from .connections import Connections
from .dispatch import Dispatcher
from .exchange import Site
from .reading import IS_PARSED_IN_C
from .routes import ROUTES
from .routes_later import ROUTES_LATER
from .routing import Router

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_HALF_OF_GRACE = 0.5
_FIXED_KEYS = ("address", "port")
"""What a running interface does not change."""


class HttpConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the block leaves out is the agent file's. Limits and headers are those of `http_config` and `limits`."""

    address: str = ""
    """Where to listen, in place of the agent file's addresses; also `unix:///path`."""
    port: int = 0
    """On which port, in place of the agent file's."""
    keepalive_timeout_ms: int = 180_000
    """How long a connection may rest between two requests."""
    header_timeout_ms: int = 10_000
    """How long the headers of a request may take to arrive."""
    body_timeout_ms: int = 60_000
    """How long the body of a request may take to arrive."""
    grace_ms: int = 1_000
    """How long requests in flight may go on when the interface closes."""
    max_streams: int = 4096
    """How many event streams may be open at once; another one is refused with 429."""


class HttpInterface:
    """Consul's HTTP API on one or more addresses."""

    def __init__(self, context: InterfaceContext, config: HttpConfig) -> None:
        self._config = config
        self._bind = _binds(context.bind, config)
        self._unix_path = _unix_path(config.address)
        self._site = Site(
            context.agent,
            context.http,
            context.limits,
            body_timeout_s=config.body_timeout_ms / 1000,
            max_streams=config.max_streams,
            metrics=context.metrics,
        )
        self._dispatcher = Dispatcher(self._site, Router((*ROUTES, *ROUTES_LATER)), context.metrics)
        self._connections = Connections(self._dispatcher)
        self._settle_connections(context.http, context.limits)
        self._listeners: list[asyncio.Server] = []
        self._addresses: list[str] = []
        self._closed = False

    async def start(self) -> None:
        """Listen. Raises PluginStartError, naming the address, when one cannot be bound; then none stays bound."""
        try:
            for address in self._bind:
                self._listeners.append(await self._listen(address))
            if self._unix_path:
                self._listeners.append(await self._listen_unix(self._unix_path))
        except PluginStartError:
            await self.aclose()
            raise
        self._connections.watch()
        if not IS_PARSED_IN_C:
            logger.warning("aiohttp was installed without its parser in C: requests cost some microseconds more")

    def reload(self, settings: InterfaceSettings, config: HttpConfig) -> Sequence[str]:
        """Serve by other settings; on connections that are open, from the next request on."""
        fixed = [key for key in _FIXED_KEYS if getattr(config, key) != getattr(self._config, key)]
        bound = {key: getattr(self._config, key) for key in _FIXED_KEYS}
        self._config = msgspec.structs.replace(config, **bound)
        self._site.settle(
            settings.http,
            settings.limits,
            body_timeout_s=config.body_timeout_ms / 1000,
            max_streams=config.max_streams,
        )
        self._dispatcher.settle()
        self._settle_connections(settings.http, settings.limits)
        return fixed

    def addresses(self) -> Sequence[str]:
        """Where it listens, with real ports: `127.0.0.1:8500 (tcp)`."""
        return list(self._addresses)

    @property
    def connection_count(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def stream_count(self) -> int:
        """How many event streams are open."""
        return self._site.streams

    async def aclose(self) -> None:
        """Stop listening, end blocking queries, give other requests a moment, close every connection."""
        if self._closed:
            return
        self._closed = True
        for listener in self._listeners:
            listener.close()
        self._site.close()
        await self._connections.aclose(self._config.grace_ms / 1000 * _HALF_OF_GRACE)
        if self._unix_path:
            _remove_socket(self._unix_path)
        self._addresses.clear()

    # --- inside ---

    async def _listen(self, address: Address) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(self._connections.make, address.host, address.port, backlog=_BACKLOG)
        except OSError as error:
            raise PluginStartError(f"http: cannot listen on {address}: {error.strerror or error}") from error
        for sock in listener.sockets:
            host, port = sock.getsockname()[:2]
            self._addresses.append(f"{Address(host, port)} (tcp)")
        return listener

    async def _listen_unix(self, path: str) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_unix_server(self._connections.make, path, backlog=_BACKLOG)
        except OSError as error:
            raise PluginStartError(f"http: cannot listen on unix://{path}: {error.strerror or error}") from error
        self._addresses.append(f"{path} (unix)")
        return listener

    def _settle_connections(self, http: HttpSettings, limits: LimitSettings) -> None:
        self._connections.settle(
            http,
            limits,
            header_timeout_s=self._config.header_timeout_ms / 1000,
            keepalive_timeout_s=self._config.keepalive_timeout_ms / 1000,
        )


def _binds(given: Sequence[Address], config: HttpConfig) -> list[Address]:
    """The addresses to listen on: the agent file's, as far as the block does not say otherwise."""
    if config.address:
        if _unix_path(config.address):
            return []
        port = config.port or (given[0].port if given else 0)
        return [Address(config.address, port)] if port else []
    if config.port:
        hosts = [address.host for address in given] or ["127.0.0.1"]
        return [Address(host, config.port) for host in hosts]
    return list(given)


def _unix_path(address: str) -> str:
    return address.removeprefix("unix://") if address.startswith("unix://") else ""


def _remove_socket(path: str) -> None:
    try:
        Path(path).unlink()
    except OSError:
        logger.debug("socket %s was already gone", path)
