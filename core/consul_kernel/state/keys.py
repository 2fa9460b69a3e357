"""Keys of the state's tables: tuples of octets and text as bytes that keep the tuples' order.

Each component ends with `00 01`, and a zero octet inside one is written `00 FF`, so that no choice of names can
make two different tuples meet or one appear to lie under another (the idea of FoundationDB's tuple layer).
"""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
from consul_kernel.contracts.store import MAX_KEY_BYTES

RESERVED_BYTES = 16
"""What is left free behind a packed key, so that it can also be part of an index's name."""

_END = b"\x00\x01"


def pack(*components: str | bytes) -> bytes:
    """The key of a tuple; a leading part of the tuple packs to a prefix. RequestError when it is too long."""
    key = b"".join(
        [
            (raw.replace(b"\x00", b"\x00\xff") if b"\x00" in raw else raw) + _END
            for raw in [encode_text(part) if isinstance(part, str) else part for part in components]
        ]
    )
    require_short(key, MAX_KEY_BYTES - RESERVED_BYTES)
    return key


def require_short(key: bytes, limit: int = MAX_KEY_BYTES) -> None:
    """RequestError when a key is longer than a store must take: it is made of names that somebody chose."""
    if len(key) > limit:
        raise RequestError(f"Names are too long: {len(key)} bytes together, at most {limit} are possible")


def encode_text(text: str) -> bytes:
    """UTF-8. Halves of surrogate pairs, which no stored text has, may still be asked for."""
    return text.encode("utf-8", "surrogatepass")


def fold(name: str) -> bytes:
    """A name or id as it is looked up: without regard to case."""
    return encode_text(name.lower())


def unpack(key: bytes) -> tuple[bytes, ...]:
    """The components that `pack` was given, as octets."""
    parts = key.split(_END)
    if parts.pop():
        raise ValueError(f"not a packed key: {key!r}")
    return tuple(part.replace(b"\x00\xff", b"\x00") for part in parts)


def after_prefix(prefix: bytes) -> bytes | None:
    """The first key behind all that begin with `prefix`; None when nothing can follow them."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes((head[-1] + 1,)) if head else None


def pack_index(index: int) -> bytes:
    """A log index as eight octets, most significant first, so that octet order is number order."""
    return index.to_bytes(8, "big")


def unpack_index(octets: bytes) -> int:
    """The log index that `pack_index` was given."""
    return int.from_bytes(octets, "big")
