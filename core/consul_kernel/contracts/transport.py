"""Transport: how bytes reach another agent, as packets and as streams.

Clauses: docs/contracts/transport.md. Kit: `consul_kernel.testing.transport_kit`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from .plugin import Plugin


class Address(NamedTuple):
    """An IP address in text form (never a name) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Stream(Protocol):
    """A reliable, ordered byte stream in both directions, owned by one task at a time for each direction."""

    @property
    def peer(self) -> Address:
        """Where the other end is."""
        ...

    async def read(self, max_bytes: int) -> bytes:
        """Wait for some bytes, at most `max_bytes`; empty at the end of the stream."""
        ...

    async def read_exactly(self, count: int) -> bytes:
        """Wait for exactly `count` bytes. Raises StreamClosedError when the stream ends before."""
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes for sending; follow with `drain` before queueing much more."""
        ...

    async def drain(self) -> None:
        """Wait until the queue is short again. Raises TransportError when the connection is broken."""
        ...

    def close_write(self) -> None:
        """Send an end of stream after what is queued; reading goes on."""
        ...

    def close(self) -> None:
        """Close both directions after what is queued. Idempotent, never raises."""
        ...


ReceivePacket = Callable[[bytes, Address], None]
ServeStream = Callable[[Stream], Awaitable[None]]


class PacketEndpoint(Protocol):
    """A bound datagram endpoint. Packets may be lost, repeated and reordered."""

    @property
    def address(self) -> Address:
        """The bound address, with the real port where 0 was asked for."""
        ...

    def send(self, packet: bytes, to: Address) -> None:
        """Send one packet, at most 65,507 bytes. Never blocks, never raises for what the network does."""
        ...

    def close(self) -> None:
        """Stop receiving and sending. Idempotent."""
        ...


@runtime_checkable
class CountingEndpoint(Protocol):
    """A packet endpoint that also says what it could not send."""

    @property
    def send_failures(self) -> Mapping[str, int]:
        """How many packets were lost in `send`, by cause: the operating system's names (ENETUNREACH, EMSGSIZE, …)."""
        ...


class Listener(Protocol):
    """A listening stream socket."""

    @property
    def address(self) -> Address:
        """The bound address, with the real port where 0 was asked for."""
        ...

    async def aclose(self) -> None:
        """Stop accepting, cancel the tasks that serve accepted streams, and close those. Idempotent."""
        ...


@runtime_checkable
class Transport(Protocol):
    """Packets and streams over one kind of network. IPv4 and IPv6 addresses both work."""

    async def open_packets(self, bind: Address, receive: ReceivePacket) -> PacketEndpoint:
        """Bind a datagram endpoint; `receive` is called for each packet and must not raise or block.

        Raises PluginStartError, naming the address, when it cannot be bound.
        """
        ...

    async def listen(self, bind: Address, serve: ServeStream) -> Listener:
        """Accept streams, each served by its own task; the stream is closed when `serve` returns.

        Raises PluginStartError, naming the address, when it cannot be bound.
        """
        ...

    async def dial(self, to: Address, *, timeout_ms: int) -> Stream:
        """Connect. Raises TransportError when refused, unreachable or not done within `timeout_ms`."""
        ...

    async def aclose(self) -> None:
        """Close everything that was opened through this transport. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportContext:
    """What a transport is made with."""


TransportPlugin = Plugin[TransportContext, Transport]
