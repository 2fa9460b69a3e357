"""Reads one Go struct: at msgspec's speed what Go's encoder writes, and with patience what else its decoder takes.

A wire struct is a msgspec Struct whose encoded names are the Go field names and whose fields stand in the order of
Go's declaration. Its defaults are Go's zero values. Its fields have four types only: `U16`, `U32` and the like, `str`,
`bool`, and `Octets` for raw bytes, which `octets` turns into bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from consul_kernel.contracts.errors import PeerProtocolError

from .wire import U16_MAX, U32_MAX, Fields, as_fields, pack, read_bytes, read_flag, unpack

U8 = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
U16 = Annotated[int, msgspec.Meta(ge=0, le=U16_MAX)]
U32 = Annotated[int, msgspec.Meta(ge=0, le=U32_MAX)]
Octets = msgspec.Raw
"""A byte string as it stands in the packet: msgspec takes the raw family for text, which must be UTF-8."""

NIL: Final = msgspec.Raw(b"\xc0")

_DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

StructT = TypeVar("StructT", bound=msgspec.Struct)


class StructReader(Generic[StructT]):
    """Reads structs of one kind."""

    def __init__(self, kind: type[StructT]) -> None:
        self._fast = msgspec.msgpack.Decoder(kind)
        fields = msgspec.structs.fields(kind)
        self._names = tuple(field.encode_name.encode() for field in fields)
        self._types = {name: field.type for name, field in zip(self._names, fields, strict=True)}

    def read(self, body: bytes) -> StructT:
        """The struct at the start of `body`; what follows is ignored. Raises PeerProtocolError."""
        try:
            return self._fast.decode(body)
        except _DECODE_ERRORS:
            return self.convert(unpack(body))

    def convert(self, value: Any) -> StructT:
        """A value already unpacked, as Go's decoder would take it. Raises PeerProtocolError."""
        given = as_fields(value, self._names)
        known = {name: self._plain(given, name) for name in self._names if given.get(name) is not None}
        try:
            return self._fast.decode(pack(known))
        except (*_DECODE_ERRORS, OverflowError, TypeError, ValueError) as error:
            raise PeerProtocolError(f"a field that cannot be read: {error}") from error

    def _plain(self, fields: Fields, name: bytes) -> Any:
        """A field as Go's encoder would have written it."""
        wanted = self._types[name]
        if wanted is Octets:
            return read_bytes(fields, name)
        return read_flag(fields, name) if wanted is bool else fields[name]


def _header_bytes(head: int) -> int:
    """How long the header of a byte string is that begins with this byte; 0 where it begins something else."""
    if 0xA0 <= head <= 0xBF:
        return 1
    return {0xD9: 2, 0xC4: 2, 0xDA: 3, 0xC5: 3, 0xDB: 5, 0xC6: 5}.get(head, 0)


_HEADER_BYTES: Final = tuple(map(_header_bytes, range(256)))


def octets(raw: msgspec.Raw) -> bytes:
    """The bytes of a field, nil as none. Raises PeerProtocolError when it holds something else."""
    data = bytes(raw)
    header = _HEADER_BYTES[data[0]]
    if header:
        return data[header:]
    return read_bytes({b"a byte field": unpack(data)}, b"a byte field")
