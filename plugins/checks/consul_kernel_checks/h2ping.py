"""HTTP/2 ping checks: passing while a PING frame is answered (RFC 9113 §6.7)."""

from __future__ import annotations

import ssl

from h2.events import PingAckReceived

from consul_kernel.contracts.check import CheckContext, CheckPlugin, Outcome
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.hookspecs import hookimpl
from consul_kernel.structs.check import CheckStatus

from .dialling import dial_failure
from .http2 import Http2Connection, Http2Error, connect_http2
from .targets import split_target
from .tls import certificate_failure

PING_BYTES = 8


class H2PingConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a definition beside those of every check."""

    h2ping: str = ""
    """`host:port` that is sent a ping."""
    h2ping_use_tls: bool = True
    """Whether there is TLS around it."""
    tls_server_name: str = ""
    """The name that the server's certificate must have, where that is not the host's."""
    tls_skip_verify: bool = False
    """Take any certificate."""


class H2PingCheck:
    """Connects, pings once, and closes."""

    def __init__(self, context: CheckContext, config: H2PingConfig) -> None:
        self._config = config
        self._target = split_target(config.h2ping)
        self._payload = context.rng.randbytes(PING_BYTES)

    async def probe(self) -> Outcome:
        """Ping once."""
        config, target = self._config, self._target
        try:
            async with connect_http2(
                target,
                use_tls=config.h2ping_use_tls,
                skip_verify=config.tls_skip_verify,
                server_name=config.tls_server_name,
            ) as connection:
                await self._ping(connection)
        except Http2Error as error:
            return Outcome(CheckStatus.CRITICAL, f"HTTP2 ping failed: {error}")
        except ssl.SSLError as error:
            return self._not_reached(certificate_failure(error))
        except OSError as error:
            return self._not_reached(dial_failure(target.host, target.port, error))
        return Outcome(CheckStatus.PASSING, "HTTP2 ping was successful")

    async def _ping(self, connection: Http2Connection) -> None:
        connection.state.ping(self._payload)
        await connection.flush()
        async for event in connection.events():
            if isinstance(event, PingAckReceived) and event.ping_data == self._payload:
                return

    def _not_reached(self, reason: str) -> Outcome:
        return Outcome(CheckStatus.CRITICAL, f"Failed to dial to {self._config.h2ping}: {reason}")

    def timed_out(self) -> Outcome:
        """As Consul words it."""
        return Outcome(CheckStatus.CRITICAL, "HTTP2 ping failed: context deadline exceeded")


@hookimpl
def consul_kernel_register_check() -> CheckPlugin:
    """Offer this kind."""
    return CheckPlugin(
        name="h2ping", api=1, create=H2PingCheck, config_type=H2PingConfig, summary="whether an HTTP/2 ping is answered"
    )
