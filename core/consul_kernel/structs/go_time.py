"""Moments as Go writes them: 15 bytes in MessagePack (`Time.MarshalBinary`), RFC 3339 with nanoseconds in JSON."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Final

_FORMAT: Final = struct.Struct(">BqiH")
_VERSION: Final = 1
_UTC: Final = 0xFFFF
_SECONDS_BEFORE_1970: Final = 62_135_596_800
"""From the start of year 1, where Go begins to count, to that of 1970."""
_NANOSECONDS: Final = 1_000_000_000


def pack_time(unix_ns: int) -> bytes:
    """A moment, given in nanoseconds since 1970, as 15 bytes."""
    seconds, nanoseconds = divmod(unix_ns, _NANOSECONDS)
    return _FORMAT.pack(_VERSION, seconds + _SECONDS_BEFORE_1970, nanoseconds, _UTC)


def unpack_time(packed: bytes) -> int:
    """Nanoseconds since 1970, whatever the zone was. ValueError for what is no moment."""
    if len(packed) != _FORMAT.size or packed[0] != _VERSION:
        raise ValueError(f"not a moment: {packed.hex()}")
    _, seconds, nanoseconds, _ = _FORMAT.unpack(packed)
    return int((seconds - _SECONDS_BEFORE_1970) * _NANOSECONDS + nanoseconds)


def show_time(unix_ns: int) -> str:
    """`2017-03-06T22:07:51.1234Z`: the fraction as long as it must be, or none."""
    seconds, nanoseconds = divmod(unix_ns, _NANOSECONDS)
    moment = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{moment}{fraction}Z"
