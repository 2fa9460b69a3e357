"""A third party's kind of check: whether a Redis server answers PING, in the database that a definition names."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta

from consul_kernel.contracts.check import CheckContext, CheckPlugin, Outcome
from consul_kernel.contracts.plugin import KeyFaultError, PluginConfig
from consul_kernel.hookspecs import hookimpl
from consul_kernel.structs.check import CheckStatus


class RedisConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a definition beside those of every check."""

    redis_ping: str = ""
    """`host:port` of the server."""
    redis_database: Annotated[int, Meta(ge=0)] = 0
    """The database that must be there."""

    def __post_init__(self) -> None:
        if self.redis_ping and not self.redis_ping.rpartition(":")[2].isdecimal():
            raise KeyFaultError("redis_ping", "has no port")


class RedisCheck:
    """Connects, selects the database, and pings."""

    def __init__(self, context: CheckContext, config: RedisConfig) -> None:
        self._host, _, port = config.redis_ping.rpartition(":")
        self._port = int(port)
        self._database = config.redis_database

    async def probe(self) -> Outcome:
        """One conversation (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            for command in (f"SELECT {self._database}", "PING"):
                writer.write(f"{command}\r\n".encode())
                line = (await reader.readline())[:200].decode("utf-8", "replace").strip()
                if not line.startswith("+"):
                    return Outcome(CheckStatus.CRITICAL, f"{command}: {line or 'no answer'}")
        finally:
            writer.transport.abort()
        return Outcome(CheckStatus.PASSING, f"PING: {line}")


PLUGIN = CheckPlugin(
    name="redis_ping",
    api=1,
    create=RedisCheck,
    config_type=RedisConfig,
    summary="whether a Redis server answers PING",
    type_name="redis",
)


@hookimpl
def consul_kernel_register_check() -> CheckPlugin:
    """Offer this kind."""
    return PLUGIN
