"""A UDP socket read straight from the event loop: no queue of our own, so the kernel's is the bound."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable

from consul_kernel.contracts.transport import Address, ReceivePacket

from .sockets import bind_socket, socket_address, to_address

_log = logging.getLogger(__name__)

MAX_PACKET_BYTES = 65_507
PACKETS_PER_WAKE = 64
"""Read at most this many before other tasks get their turn."""


_NO_ROUTE = "EADDRNOTAVAIL"


class UdpEndpoint:
    """A bound UDP socket (contracts `PacketEndpoint`, `CountingEndpoint`). What the kernel cannot queue is dropped."""

    def __init__(self, bind: Address, receive: ReceivePacket, on_closed: Callable[[UdpEndpoint], None]) -> None:
        self._socket = bind_socket(socket.SOCK_DGRAM, bind)
        self._family = self._socket.family
        self._receive = receive
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self.send_failures: Counter[str] = Counter()
        self.address = to_address(self._socket.getsockname())
        self._loop.add_reader(self._socket.fileno(), self._on_readable)

    def send(self, packet: bytes, to: Address) -> None:
        """Send one packet, or lose it and count that: a full buffer, an unreachable or impossible address."""
        target = socket_address(self._family, *to)
        if target is None or self._closed:
            self._failed(_NO_ROUTE, to)
            return
        try:
            self._socket.sendto(packet, target)
        except OSError as error:
            self._failed(errno.errorcode.get(error.errno or 0, "unknown"), to)

    def _failed(self, cause: str, to: Address) -> None:
        self.send_failures[cause] += 1
        if self.send_failures[cause] == 1 and not self._closed:
            _log.warning("a packet to %s could not be sent: %s; from now on, such ones are only counted", to, cause)

    def _on_readable(self) -> None:
        for _ in range(PACKETS_PER_WAKE):
            if self._closed:
                return
            try:
                packet, source = self._socket.recvfrom(65_536)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about a packet sent earlier
            try:
                self._receive(packet, to_address(source))
            except Exception:  # noqa: BLE001 - a faulty receiver must not stop the packets
                _log.exception("receiver of packets at %s failed", self.address)

    def close(self) -> None:
        """Stop receiving and sending."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._on_closed(self)
