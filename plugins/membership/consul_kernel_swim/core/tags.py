"""Tags as node meta: `ff` and a msgpack map of texts; without `ff` the whole meta is the tag `role`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from consul_kernel.contracts.errors import MembershipError, PeerProtocolError

from .settings import META_BYTES_MAX
from .wire import pack, unpack

_TAGS_MAGIC: Final = b"\xff"


def encode_tags(tags: Mapping[str, str]) -> bytes:
    """The meta for these tags, names in order. Raises MembershipError when it is longer than 512 bytes."""
    meta = _TAGS_MAGIC + pack(dict(sorted(tags.items())))
    if len(meta) > META_BYTES_MAX:
        raise MembershipError(f"Encoded length of tags exceeds limit of {META_BYTES_MAX} bytes")
    return meta


@lru_cache(maxsize=4096)
def decode_tags(meta: bytes) -> Mapping[str, str]:
    """The tags of a peer; what is not UTF-8 in them is replaced. Raises PeerProtocolError.

    They are read when a member is checked, joins, and is checked again in every exchange: kept, and never changed.
    """
    if meta[:1] != _TAGS_MAGIC:
        return {"role": meta.decode(errors="replace")}
    tags = unpack(meta[1:])
    if tags is None:
        return {}
    if not isinstance(tags, dict):
        raise PeerProtocolError("tags are no map")
    return {_decode(name): _decode(value) for name, value in tags.items()}


def _decode(value: object) -> str:
    if not isinstance(value, bytes):
        raise PeerProtocolError("a tag is no text")
    return value.decode(errors="replace")
