"""What waits for the core: in two lanes, so that a flood of gossip neither delays nor displaces what probing needs.

Commands, exchanges and probes go before gossip, which gets one place after so many of them, so that it is never at a
stand. When there is no room, gossip is dropped first, as the network might have done it; then requests to be
answered; answers to our own requests last, and what the agent itself wants never.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from .core.events import Input, PacketReceived
from .core.messages import MessageType
from .core.packets import CHECKSUM_BYTES, COMPOUND_HEADER_BYTES, COMPOUND_PART_BYTES

GOSSIP_MAX: Final = 4_096
REQUESTS_MAX: Final = 4_096
URGENT_MAX: Final = 8_192
"""Packets in the urgent lane; what else is in it, those bound who post it."""
BYTES_MAX: Final = 16 << 20
"""Of all packets: ten thousand of the usual size. From three quarters on, answers alone are taken."""
REQUEST_BYTES_MAX: Final = 12 << 20
GOSSIP_BYTES_MAX: Final = 8 << 20
"""What all that waits may come to for a request, or gossip, to be taken: long packets leave room for urgent ones."""
URGENT_IN_A_ROW: Final = 16

_COMPOUND: Final = int(MessageType.COMPOUND)
_COMPRESS: Final = int(MessageType.COMPRESS)
_HAS_CRC: Final = int(MessageType.HAS_CRC)
_REQUESTS: Final = frozenset((int(MessageType.PING), int(MessageType.INDIRECT_PING)))
_ANSWERS: Final = frozenset((int(MessageType.ACK), int(MessageType.NACK)))
_COMPRESSED_PROBE_BYTES: Final = 300
"""A compressed packet does not show what it holds; a probe, alone or with little that rides along, is short."""


def first_kind(packet: bytes) -> int:
    """The type of the first message, which decides what a packet is for; -1 where it cannot be seen."""
    at = CHECKSUM_BYTES if packet[:1] == b"\x0c" else 0
    kind = packet[at] if len(packet) > at else -1
    if kind == _COMPOUND and len(packet) > at + 1:
        at += COMPOUND_HEADER_BYTES + COMPOUND_PART_BYTES * packet[at + 1]
        return packet[at] if len(packet) > at else -1
    if kind == _COMPRESS and len(packet) <= _COMPRESSED_PROBE_BYTES:
        return int(MessageType.PING)
    return kind


class Inbox:
    """`counters` are told of what was dropped."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._urgent: deque[Input] = deque()
        self._gossip: deque[PacketReceived] = deque()
        self._urgent_packets = 0
        self._bytes = 0
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._urgent) + len(self._gossip)

    def post(self, event: Input) -> None:
        """Something else than a packet."""
        self._urgent.append(event)

    def post_packet(self, event: PacketReceived) -> None:
        """A packet, if there is room."""
        size = len(event.packet)
        kind = first_kind(event.packet)
        if not self._has_room(kind, self._bytes + size):
            self._counters["inbox_overflows"] += 1
            return
        if kind in _ANSWERS or kind in _REQUESTS:
            self._urgent_packets += 1
            self._urgent.append(event)
        else:
            self._gossip.append(event)
        self._bytes += size

    def _has_room(self, kind: int, bytes_then: int) -> bool:
        if kind in _ANSWERS:
            return self._urgent_packets < URGENT_MAX and bytes_then <= BYTES_MAX
        if kind in _REQUESTS:
            return self._urgent_packets < REQUESTS_MAX and bytes_then <= REQUEST_BYTES_MAX
        return len(self._gossip) < GOSSIP_MAX and bytes_then <= GOSSIP_BYTES_MAX

    def take(self) -> Input:
        """The next one. Raises IndexError when there is none."""
        if self._urgent and (self._in_a_row < URGENT_IN_A_ROW or not self._gossip):
            self._in_a_row += 1
            event = self._urgent.popleft()
            if isinstance(event, PacketReceived):
                self._urgent_packets -= 1
                self._bytes -= len(event.packet)
            return event
        self._in_a_row = 0
        packet = self._gossip.popleft()
        self._bytes -= len(packet.packet)
        return packet
