"""What surrounds messages in a packet: compound, compression and checksum.

Outgoing: messages → compound → compression (kept only when smaller) → checksum. Sealing and label come after, in
the driver. Incoming packets are taken apart in the opposite order, bounded in depth and size.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

from consul_kernel.contracts.errors import PeerProtocolError

from . import lzw
from .messages import MessageType
from .wire import pack, read_bytes, read_struct, read_uint

COMPOUND_HEADER_BYTES: Final = 2
COMPOUND_PART_BYTES: Final = 2
COMPOUND_PARTS_MAX: Final = 255
CHECKSUM_BYTES: Final = 5
PACKET_EXPANDED_BYTES_MAX: Final = 1 << 20
"""No honest packet expands to more; a 64 KiB one of zeros could expand to many megabytes."""
_DEPTH_MAX: Final = 4
_MESSAGES_MAX: Final = 1024

_CHECKSUM = struct.Struct(">BI")
_LENGTHS: Final = tuple(struct.Struct(f">{count}H") for count in range(COMPOUND_PARTS_MAX + 1))
_COMPOUND: Final = int(MessageType.COMPOUND)
_COMPRESS: Final = int(MessageType.COMPRESS)
_WRAPPERS: Final = frozenset((_COMPOUND, _COMPRESS))
_NO_MESSAGES: Final = frozenset((b"", *(bytes((kind,)) for kind in _WRAPPERS)))
"""How parts of a compound begin that need a second look."""
_COMPOUND_HEADERS: Final = tuple(bytes((_COMPOUND, count)) for count in range(COMPOUND_PARTS_MAX + 1))
_HAS_CRC: Final = bytes((MessageType.HAS_CRC,))


def join_messages(messages: Sequence[bytes]) -> bytes:
    """One message alone, or a compound of at most 255."""
    if len(messages) == 1:
        return messages[0]
    count = len(messages)
    return b"".join((_COMPOUND_HEADERS[count], _LENGTHS[count].pack(*map(len, messages)), *messages))


def compress_message(message: bytes) -> bytes:
    """A message of type compress around another."""
    return bytes((MessageType.COMPRESS,)) + pack({"Algo": 0, "Buf": lzw.compress(message)})


def add_checksum(packet: bytes) -> bytes:
    """The has-CRC header, which only a peer that understands protocol 5 may be sent."""
    return _CHECKSUM.pack(MessageType.HAS_CRC, zlib.crc32(packet)) + packet


def expand(body: bytes, size_max: int) -> bytes:
    """What a compress message holds; `body` is without its type byte. Raises PeerProtocolError."""
    fields = read_struct(body, (b"Algo", b"Buf"))
    algorithm = read_uint(fields, b"Algo", 255)
    if algorithm != 0:
        raise PeerProtocolError(f"unknown compression algorithm {algorithm}")
    expanded = lzw.decompress(read_bytes(fields, b"Buf"), size_max)
    if not expanded:
        raise PeerProtocolError("a compressed message with nothing in it")
    return expanded


def split_packet(packet: bytes) -> tuple[list[bytes], bool]:
    """The messages of a packet, in order, and whether some had to be dropped (a cut compound, an unreadable part).

    Raises PeerProtocolError when nothing of it can be used.
    """
    if packet[:1] == _HAS_CRC:
        if len(packet) <= CHECKSUM_BYTES:
            raise PeerProtocolError("a checksum around nothing")
        _, checksum = _CHECKSUM.unpack_from(packet)
        packet = packet[CHECKSUM_BYTES:]
        if zlib.crc32(packet) != checksum:
            raise PeerProtocolError("wrong checksum")
    if not packet:
        raise PeerProtocolError("an empty packet")
    messages: list[bytes] = []
    whole = _unwrap(packet, messages, _DEPTH_MAX)
    return messages, not whole


def _unwrap(packet: bytes, messages: list[bytes], depth: int) -> bool:
    """Append the messages inside; False when some were dropped."""
    kind = packet[0] if packet else -1
    if kind != _COMPOUND and kind != _COMPRESS:
        if kind < 0 or len(messages) >= _MESSAGES_MAX:
            return False
        messages.append(packet)
        return True
    if depth == 0:
        raise PeerProtocolError("wrappers nested too deep")
    if kind == _COMPRESS:
        return _unwrap(expand(packet[1:], PACKET_EXPANDED_BYTES_MAX), messages, depth - 1)
    whole = True
    parts, cut = _split_compound(packet)
    if _NO_MESSAGES.isdisjoint({part[:1] for part in parts}) and len(messages) + len(parts) <= _MESSAGES_MAX:
        messages += parts
        return not cut
    for part in parts:
        if part and part[0] not in _WRAPPERS and len(messages) < _MESSAGES_MAX:
            messages.append(part)
            continue
        try:
            whole &= _unwrap(part, messages, depth - 1)
        except PeerProtocolError:
            whole = False
    return whole and not cut


def _split_compound(packet: bytes) -> tuple[list[bytes], bool]:
    """The parts of a compound and whether the bytes ran out before the last one."""
    if len(packet) < COMPOUND_HEADER_BYTES:
        raise PeerProtocolError("a compound without its count")
    count = packet[1]
    start = COMPOUND_HEADER_BYTES + COMPOUND_PART_BYTES * count
    if len(packet) < start:
        raise PeerProtocolError("a compound without its lengths")
    bounds = list(accumulate(_LENGTHS[count].unpack_from(packet, COMPOUND_HEADER_BYTES), initial=start))
    whole = bisect_right(bounds, len(packet)) - 1
    return [packet[begin:end] for begin, end in pairwise(bounds[: whole + 1])], whole < count
