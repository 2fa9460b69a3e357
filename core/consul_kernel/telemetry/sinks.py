"""Where metrics are sent: datagrams to statsd and dogstatsd, a stream to statsite."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Protocol

from .registry import Interval
from .statsd import packed

logger = logging.getLogger(__name__)

Lines = Callable[[Interval], Iterable[str]]
CONNECT_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 5.0


class Sink(Protocol):
    """Takes every interval once it is over."""

    async def send(self, interval: Interval) -> None:
        """Send it, within seconds. What cannot be sent is lost; raises OSError and TimeoutError."""
        ...

    def close(self) -> None:
        """Let go of the socket. Idempotent."""
        ...


class DatagramSink:
    """Sends lines by UDP; the name is resolved anew each time, so that the receiver may move."""

    def __init__(self, address: str, lines: Lines) -> None:
        self._host, self._port = split_address(address)
        self._lines = lines

    async def send(self, interval: Interval) -> None:
        """Send it; nobody says whether it arrived."""
        loop = asyncio.get_running_loop()
        found = await asyncio.wait_for(
            loop.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM), CONNECT_TIMEOUT_S
        )
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as sender:
            sender.setblocking(False)
            for datagram in packed(self._lines(interval)):
                sender.sendto(datagram, address)

    def close(self) -> None:
        """Nothing stays open."""


class StreamSink:
    """Sends lines by TCP, on one connection for as long as it lasts."""

    def __init__(self, address: str, lines: Lines) -> None:
        self._host, self._port = split_address(address)
        self._lines = lines
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, interval: Interval) -> None:
        """Send it; a connection that broke is opened anew the next time."""
        try:
            writer = self._writer
            if writer is None:
                opening = asyncio.open_connection(self._host, self._port)
                _, opened = await asyncio.wait_for(opening, CONNECT_TIMEOUT_S)
                self._writer = writer = opened
            writer.write("".join(self._lines(interval)).encode("utf-8", "replace"))
            await asyncio.wait_for(writer.drain(), WRITE_TIMEOUT_S)
        except (OSError, TimeoutError):
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None


def split_address(address: str, default_port: int = 8125) -> tuple[str, int]:
    """Host and port of `host:port`. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not host:
        return address, default_port
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f'"{address}" is not host:port')
    return host.strip("[]"), int(port)
