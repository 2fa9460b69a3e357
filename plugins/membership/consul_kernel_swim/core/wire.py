"""memberlist's msgpack dialect: what go-msgpack writes for a Go struct, and reading of what a peer may send.

A struct is a map whose keys are the Go field names in byte order. Text and bytes share the old raw family, never
str8 and never bin. A reader takes any key order, ignores unknown keys, leaves missing ones zero, and takes an array
in declaration order as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

import msgpack

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.transport import Address

U16_MAX: Final = 0xFFFF
U32_MAX: Final = 0xFFFF_FFFF
I64_MIN: Final = -(1 << 63)
I64_MAX: Final = (1 << 63) - 1
LAMPORT_MAX: Final = I64_MAX
"""Lamport times above this are refused; the wire has 64 bits, and no pool counts that far."""
_ADDRESSES_KEPT: Final = 16_384
"""More than a large pool has members: each is met once in a turn of probes, so a smaller cache would never help."""
MSGPACK_ERRORS: Final = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)

Fields = Mapping[bytes, Any]

_packer = msgpack.Packer(use_bin_type=False)


def pack(value: Any) -> bytes:
    """One value in the dialect. Maps are written in the order given: callers list keys in byte order."""
    packed: bytes = _packer.pack(value)
    return packed


def unpack(data: bytes) -> Any:
    """The first value in `data`; what follows is ignored, as Go's decoder does. Raises PeerProtocolError."""
    try:
        return msgpack.unpackb(data, raw=True)
    except msgpack.ExtraData as extra:
        return extra.unpacked
    except MSGPACK_ERRORS as error:
        raise PeerProtocolError(f"not msgpack: {error}") from error


def as_fields(value: Any, names: tuple[bytes, ...]) -> Fields:
    """A decoded struct as a mapping; `names` are its fields in declaration order, for the array form."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return dict(zip(names, value, strict=False))
    raise PeerProtocolError(f"expected a struct, got {type(value).__name__}")


def read_struct(data: bytes, names: tuple[bytes, ...]) -> Fields:
    """Decode one struct. Raises PeerProtocolError."""
    return as_fields(unpack(data), names)


def read_uint(fields: Fields, name: bytes, limit: int) -> int:
    """An unsigned number of at most `limit`; missing or nil is 0."""
    value = fields.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= limit:
        raise PeerProtocolError(f"{name.decode()} is no number between 0 and {limit}")
    return value


def read_int(fields: Fields, name: bytes) -> int:
    """A signed number of 64 bits; missing or nil is 0."""
    value = fields.get(name)
    if value is None:
        return 0
    if type(value) is not int or not I64_MIN <= value <= I64_MAX:
        raise PeerProtocolError(f"{name.decode()} is no number of 64 bits")
    return value


def read_lamport(fields: Fields, name: bytes) -> int:
    """A Lamport time."""
    return read_uint(fields, name, LAMPORT_MAX)


def read_bytes(fields: Fields, name: bytes) -> bytes:
    """Raw bytes; missing or nil is empty. An array of numbers is taken too, as Go's decoder does."""
    value = fields.get(name)
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list) and all(type(item) is int and 0 <= item <= 255 for item in value):
        return bytes(value)
    raise PeerProtocolError(f"{name.decode()} is no byte string")


def read_optional_bytes(fields: Fields, name: bytes) -> bytes | None:
    """Raw bytes, where nil or missing is something else than empty."""
    return None if fields.get(name) is None else read_bytes(fields, name)


def read_text(fields: Fields, name: bytes) -> str:
    """Text; missing or nil is empty. Raises PeerProtocolError when it is not UTF-8."""
    return as_text(fields.get(name), name)


def as_text(value: Any, what: bytes) -> str:
    """Raw bytes that must be UTF-8; nil is empty."""
    if value is None:
        return ""
    if not isinstance(value, bytes):
        raise PeerProtocolError(f"{what.decode()} is no text")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise PeerProtocolError(f"{what.decode()} is not UTF-8") from error


def read_flag(fields: Fields, name: bytes) -> bool:
    """A boolean, or 0 and 1 for it; missing or nil is False."""
    value = fields.get(name)
    if value is None or value is False or value == 0:
        return False
    if value is True or value == 1:
        return True
    raise PeerProtocolError(f"{name.decode()} is no boolean")


def read_list(fields: Fields, name: bytes) -> list[Any]:
    """An array; missing or nil is empty."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise PeerProtocolError(f"{name.decode()} is no array")
    return value


@lru_cache(maxsize=_ADDRESSES_KEPT)
def pack_host(host: str) -> bytes:
    """An IP address in text form as the 4 or 16 bytes of the wire. Raises ValueError when it is none."""
    return ip_address(host).packed


@lru_cache(maxsize=_ADDRESSES_KEPT)
def unpack_host(packed: bytes) -> str:
    """4 or 16 bytes as text; an IPv4 address mapped into IPv6 comes out as IPv4. Raises PeerProtocolError."""
    if len(packed) not in (4, 16):
        raise PeerProtocolError(f"an IP address has 4 or 16 bytes, not {len(packed)}")
    address = ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@lru_cache(maxsize=_ADDRESSES_KEPT)
def unpack_address(packed: bytes, port: int) -> Address:
    """An address of the wire. Raises PeerProtocolError."""
    return Address(unpack_host(packed), port)
