"""Values of archives' records: typed where the type is known, as they come where it is anybody's."""

from __future__ import annotations

from typing import Any, TypeVar

import msgpack
import msgspec

from consul_kernel.rpc.errors import WireError
from consul_kernel.rpc.wire import decode
from consul_kernel.structs.kv import DirEntry

T = TypeVar("T")

MAX_INDEX = 1 << 62
MAX_DEPTH = 64
"""How deep values of any shape may be nested."""
_MAX_FLAGS = 1 << 64


class ValueProblem(Exception):  # noqa: N818 - who reads records makes an error of it, which says which record it is
    """A record's bytes are not of its type; the text says why."""


def decode_value(kind: type[T], record: bytes) -> T:
    """A record of a type. Text that is no UTF-8 is taken with replacement characters, as everywhere from the wire."""
    try:
        value: T = decode(kind, record)
    except WireError as error:
        raise ValueProblem(str(error)) from None
    return value


def decode_any(octets: bytes) -> Any:
    """A value of any shape: what of the raw family is UTF-8 becomes text, the rest stays octets."""
    (value,) = decode_several(octets, 1)
    return value


def decode_several(octets: bytes, count: int) -> list[Any]:
    """As `decode_any`, of values that stand one behind the other."""
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=0, read_size=4096)
    try:
        unpacker.feed(octets)
        values = [_texts(unpacker.unpack(), MAX_DEPTH) for _ in range(count)]
        if unpacker.tell() != len(octets):
            raise ValueProblem("has bytes behind its end")
        return values
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ValueProblem(f"undecodable: {str(error) or type(error).__name__}") from None


def _texts(value: Any, depth: int) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if not depth:
        raise ValueProblem(f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {_texts(key, depth - 1): _texts(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item, depth - 1) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise ValueProblem(f"has a value of type {type(value).__name__}")


class _Entry(msgspec.Struct, gc=False, rename="pascal"):
    """A DirEntry whose members of the raw family are left as they are: the decoder would take them for text."""

    create_index: int = 0
    flags: int = 0
    key: msgspec.Raw = msgspec.Raw(b"\xa0")
    lock_index: int = 0
    modify_index: int = 0
    session: msgspec.Raw = msgspec.Raw(b"\xa0")
    value: msgspec.Raw = msgspec.Raw(b"\xc0")


_HEAD_BYTES = {0xC4: 2, 0xC5: 3, 0xC6: 5, 0xD9: 2, 0xDA: 3, 0xDB: 5}
"""Bytes before the octets themselves, by the first of them: of octets and of texts, both of three lengths."""
_decode_entry = msgspec.msgpack.Decoder(_Entry).decode


def decode_entry(record: bytes) -> DirEntry:
    """A key's record: what `decode_value` makes of it, in a third of the time."""
    try:
        entry = _decode_entry(record)
        session = bytes(entry.session)
        made = DirEntry(
            create_index=entry.create_index,
            modify_index=entry.modify_index,
            lock_index=entry.lock_index,
            key=_octets(entry.key) or b"",
            flags=entry.flags,
            value=_octets(entry.value),
            session="" if session == b"\xa0" else (_octets(entry.session) or b"").decode(),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueProblem(f"undecodable: {error}") from None
    if not 0 <= made.flags < _MAX_FLAGS:
        raise ValueProblem(f"has flags {made.flags}")
    require_index(made.create_index)
    require_index(made.modify_index)
    require_index(made.lock_index)
    return made


def _octets(raw: msgspec.Raw) -> bytes | None:
    octets = bytes(raw)
    first = octets[0]
    if 0xA0 <= first < 0xC0:
        return octets[1:]
    if first == 0xC0:
        return None
    size = _HEAD_BYTES.get(first)
    if size is None:
        raise ValueProblem("has a number or a list where there should be text")
    return octets[size:]


def require_index(index: int) -> None:
    """ValueProblem for what no log index can be."""
    if not 0 <= index < MAX_INDEX:
        raise ValueProblem(f"has the index {index}")
