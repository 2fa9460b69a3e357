"""UDP checks: critical where the host says that nobody listens. Silence is passing, since UDP owes no answer."""

from __future__ import annotations

import asyncio

from consul_kernel.contracts.check import CheckContext, CheckPlugin, Outcome
from consul_kernel.contracts.plugin import KeyFaultError, PluginConfig
from consul_kernel.hookspecs import hookimpl
from consul_kernel.structs.check import CheckStatus

from .dialling import dial_failure
from .targets import split_target


class UdpConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a definition beside those of every check."""

    udp: str = ""
    """`host:port` to which a datagram is sent."""
    udp_message: str = "ping"
    """What it says."""

    def __post_init__(self) -> None:
        if not self.udp_message:
            raise KeyFaultError("udp_message", "is empty: nothing would be sent")


class _Answer(asyncio.DatagramProtocol):
    """The first thing that comes back."""

    def __init__(self) -> None:
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.came.done():
            self.came.set_result(None)

    def error_received(self, exc: Exception) -> None:
        if not self.came.done():
            self.came.set_exception(exc)


class UdpCheck:
    """Sends a datagram and waits for an answer of any kind (Consul's `CheckUDP`, since 1.12)."""

    def __init__(self, context: CheckContext, config: UdpConfig) -> None:
        self._text = config.udp
        self._target = split_target(config.udp)
        self._message = config.udp_message.encode()

    async def probe(self) -> Outcome:
        """Send once."""
        target = self._target
        try:
            await self._ask()
        except OSError as error:
            return Outcome(CheckStatus.CRITICAL, dial_failure(target.host, target.port, error, network="udp"))
        return self._success()

    def timed_out(self) -> Outcome:
        """Nobody has refused it."""
        return self._success()

    def _success(self) -> Outcome:
        return Outcome(CheckStatus.PASSING, f"UDP connect {self._text}: Success")

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        target = self._target
        transport, answer = await loop.create_datagram_endpoint(
            _Answer,
            remote_addr=(target.host, target.number),  # type: ignore[arg-type]  # names of services are resolved too
        )
        try:
            transport.sendto(self._message)
            await answer.came
        finally:
            transport.abort()


@hookimpl
def consul_kernel_register_check() -> CheckPlugin:
    """Offer this kind."""
    return CheckPlugin(
        name="udp", api=1, create=UdpCheck, config_type=UdpConfig, summary="whether a UDP port refuses a datagram"
    )
