"""The frames of yamux (hashicorp/yamux, spec.md): constants and headers."""

from __future__ import annotations

import struct

HEADER = struct.Struct(">BBHII")
"""Version, type, flags, stream id, length."""
HEADER_BYTES = HEADER.size
VERSION = 0

DATA = 0
WINDOW_UPDATE = 1
PING = 2
GO_AWAY = 3

SYN = 1
ACK = 2
FIN = 4
RST = 8

GO_AWAY_NORMAL = 0
GO_AWAY_PROTOCOL_ERROR = 1

WINDOW_BYTES = 256 * 1024
"""What each direction of a stream may carry before the receiver grants more."""
WINDOW_GRANT_BYTES = WINDOW_BYTES // 2
"""A receiver grants again what it has consumed once it is this much."""
LAST_STREAM_ID = 2**32 - 2


def header(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """A frame's header."""
    return HEADER.pack(VERSION, kind, flags, stream_id, length)
