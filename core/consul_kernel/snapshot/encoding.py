"""Records as the archive has them: Go's names, sorted; maps of a user's in the order in which they are kept.

The bytes are those that Consul writes, so that a record which came from an archive goes into the next one unchanged.
(Go writes a map in an order that is random; ours stays as it came.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgpack
import msgspec

from consul_kernel.structs.kv import DirEntry

from .records import RecordType

_pack = msgpack.Packer(use_bin_type=False, unicode_errors="surrogatepass").pack


def encode_record(kind: int, value: Any) -> bytes:
    """A record: its type, and a struct, list, map or octets as MessagePack."""
    return bytes((kind,)) + encode_value(value)


def encode_value(value: Any) -> bytes:
    """A value as MessagePack, without a type before it."""
    octets: bytes = _pack(_plain(value))
    return octets


_SCALARS = frozenset({str, bytes, int, float, bool, type(None)})


@lru_cache(maxsize=256)
def _sorted_fields(struct_type: type[msgspec.Struct]) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Go's names in order, and what gets their values."""
    fields = sorted((field.encode_name, field.name) for field in msgspec.structs.fields(struct_type))
    names, attributes = zip(*fields, strict=True)
    if len(attributes) == 1:
        return names, lambda record: (getattr(record, attributes[0]),)
    return names, attrgetter(*attributes)


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        names, get = _sorted_fields(type(value))
        pairs = zip(names, get(value), strict=True)
        return {name: item if type(item) in _SCALARS else _plain(item) for name, item in pairs}
    if isinstance(value, dict):
        return {key: item if type(item) in _SCALARS else _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _SCALARS else _plain(item) for item in value]
    return value


# --- keys: there may be a million of them, so the work is left to C as far as it goes ---


class _Entry(msgspec.Struct, gc=False, rename="pascal"):
    """A DirEntry with its fields in the archive's order, and what is of the raw family already encoded."""

    create_index: int
    flags: int
    key: msgspec.Raw
    lock_index: int
    modify_index: int
    session: msgspec.Raw
    value: msgspec.Raw


_encode_entry = msgspec.msgpack.Encoder().encode
_NIL, _EMPTY = msgspec.Raw(b"\xc0"), msgspec.Raw(b"\xa0")
_SHORT = [bytes((0xA0 + size,)) for size in range(32)]
_KVS = bytes((RecordType.KVS,))


def _raw(octets: bytes) -> msgspec.Raw:
    size = len(octets)
    if size < 32:
        return msgspec.Raw(_SHORT[size] + octets)
    if size < 1 << 16:
        return msgspec.Raw(b"\xda" + size.to_bytes(2, "big") + octets)
    return msgspec.Raw(b"\xdb" + size.to_bytes(4, "big") + octets)


def encode_entry(entry: DirEntry) -> bytes:
    """A key's record: what `encode_record` makes of it, in a third of the time."""
    value, session = entry.value, entry.session
    return _KVS + _encode_entry(
        _Entry(
            entry.create_index,
            entry.flags,
            _raw(entry.key),
            entry.lock_index,
            entry.modify_index,
            _raw(session.encode()) if session else _EMPTY,
            _NIL if value is None else _raw(value),
        )
    )
