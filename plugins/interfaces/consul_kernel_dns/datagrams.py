"""A bound UDP socket that answers from the address that was asked.

A socket on 0.0.0.0 or :: would let the kernel choose the answer's source by its route, which on a host with
several addresses is not always the one that the question went to; askers drop such answers. So a wildcard socket
has the kernel tell where each packet went (IP_PKTINFO, RFC 3542) and says the same of the answer.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import Any

from consul_kernel.contracts.transport import Address

_MAX_PACKET_BYTES = 4096
_RECEIVE_BUFFER_BYTES = 1 << 20
_ANCILLARY_BYTES = 64
# Python's socket module lacks the IPv4 constant; Linux has had this value ever since (linux/in.h).
_IP_PKTINFO = 8
_IPV4_INFO = struct.Struct("=I4s4s")
_IPV6_INFO = struct.Struct("=16sI")
_LINK_LOCAL_PREFIX = b"\xfe\x80"


class DatagramSocket:
    """Where packets come from and answers go to. The asker that `receive` names is for `send` and `host_of`."""

    def __init__(self, bind: Address) -> None:
        """Bind. Raises OSError."""
        self._is_ipv6 = ":" in bind.host
        self._socket = socket.socket(socket.AF_INET6 if self._is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        is_wildcard = ipaddress.ip_address(bind.host.partition("%")[0]).is_unspecified
        self._tells_destination = is_wildcard and sys.platform == "linux"
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            if self._is_ipv6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if self._tells_destination:
                self._ask_for_destinations()
            self._socket.bind((bind.host, bind.port))
        except OSError:
            self._socket.close()
            raise

    def _ask_for_destinations(self) -> None:
        if self._is_ipv6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    @property
    def address(self) -> Address:
        """Where it is bound, with the real port."""
        return Address(*self._socket.getsockname()[:2])

    def fileno(self) -> int:
        """For the event loop."""
        return self._socket.fileno()

    def receive(self) -> tuple[bytes, Any]:
        """A packet and its asker. Raises BlockingIOError when there is none, other OSErrors for earlier answers."""
        if not self._tells_destination:
            return self._socket.recvfrom(_MAX_PACKET_BYTES)
        packet, ancillary, _, address = self._socket.recvmsg(_MAX_PACKET_BYTES, _ANCILLARY_BYTES)
        return packet, (address, [_source(item) for item in ancillary if _is_destination(item)])

    def host_of(self, asker: Any) -> str:
        """The address of an asker."""
        address = asker[0] if self._tells_destination else asker
        return str(address[0])

    def send(self, packet: bytes, asker: Any) -> None:
        """Answer an asker. Raises OSError."""
        if not self._tells_destination:
            self._socket.sendto(packet, asker)
            return
        address, ancillary = asker
        self._socket.sendmsg([packet], ancillary, 0, address)

    def close(self) -> None:
        """Close. Idempotent."""
        self._socket.close()


_Ancillary = tuple[int, int, bytes]


def _is_destination(item: _Ancillary) -> bool:
    level, kind, data = item
    if level == socket.IPPROTO_IP:
        return kind == _IP_PKTINFO and len(data) == _IPV4_INFO.size
    return level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) == _IPV6_INFO.size


def _source(item: _Ancillary) -> _Ancillary:
    """Where a packet went as where its answer comes from. The way out is left to the routes."""
    level, kind, data = item
    if level == socket.IPPROTO_IP:
        _, local, _ = _IPV4_INFO.unpack(data)
        return level, kind, _IPV4_INFO.pack(0, local, bytes(4))
    local, interface = _IPV6_INFO.unpack(data)
    return level, kind, _IPV6_INFO.pack(local, interface if local.startswith(_LINK_LOCAL_PREFIX) else 0)
