"""Values of the state as LMDB holds them: each followed by its CRC-32, little-endian.

LMDB itself checks nothing. A bit that a disk or memory turned would be served as if somebody had written it, and
would go out to other servers with the next snapshot.
"""

from __future__ import annotations

import zlib
from typing import Final

CHECKSUM_BYTES: Final = 4
RESIDUE: Final = zlib.crc32(bytes(CHECKSUM_BYTES))
"""The CRC-32 of whatever is followed by its own CRC-32, here of nothing."""
crc32 = zlib.crc32


def stored(value: bytes) -> bytes:
    """A value with its checksum."""
    return value + crc32(value).to_bytes(CHECKSUM_BYTES, "little")


def checked(found: bytes) -> bytes:
    """The value without its checksum. Raises DamagedValueError."""
    if crc32(found) != RESIDUE:
        raise DamagedValueError("a value's checksum is wrong")
    return found[:-CHECKSUM_BYTES]


class DamagedValueError(Exception):
    """Bytes of the state are not those that were written."""
