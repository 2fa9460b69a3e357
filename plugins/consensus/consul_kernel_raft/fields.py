"""Single fields of the maps that peers send: read with care, whatever is in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from consul_kernel.contracts.errors import PeerProtocolError

_INDEX_MAX = 1 << 62
_KIND_MAX = 255
"""Of an entry: one byte at the peers. What no log can keep must not get as far as the log."""
_TEXT_BYTES_MAX = 512
"""Of an id or address; a vote for it goes to the log."""

Fields: TypeAlias = Mapping[Any, Any]
FindId: TypeAlias = Callable[[str], str]
"""The id of the server with an address; the address itself where it is unknown."""


def read_sender(fields: Fields, old_field: bytes, find_id: FindId) -> str:
    """The sender's id, which peers before raft 1.3.7 do not tell: then by its address. Raises PeerProtocolError."""
    server_id = read_text(fields, b"ID")
    if server_id:
        return server_id
    address = read_text(fields, b"Addr") or read_text(fields, old_field)
    if address:
        return find_id(address)
    raise PeerProtocolError("a request without sender")


def read_text(fields: Fields, name: bytes) -> str:
    """A short text; empty where there is none, or what is there is longer or no text at all."""
    value = fields.get(name)
    if not isinstance(value, bytes) or len(value) > _TEXT_BYTES_MAX:
        return ""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise PeerProtocolError(f"{name.decode()} is not text") from error


def read_number(fields: Fields, name: bytes) -> int:
    """An index, a term, a size; 0 where there is none. Raises PeerProtocolError."""
    value = fields.get(name)
    return 0 if value is None else whole_number(value)


def whole_number(value: Any) -> int:
    """A value as an index or term. Raises PeerProtocolError."""
    if type(value) is not int or not 0 <= value < _INDEX_MAX:
        raise PeerProtocolError(f"an index or term expected, not {value!r}")
    return value


def entry_kind(value: Any) -> int:
    """A value as the kind of an entry. Raises PeerProtocolError."""
    if type(value) is not int or not 0 <= value <= _KIND_MAX:
        raise PeerProtocolError(f"a type of entry expected, not {value!r}")
    return value


def raw_bytes(value: Any) -> bytes:
    """A value as bytes; nil is none. Raises PeerProtocolError."""
    if value is None:
        return b""
    if not isinstance(value, bytes):
        raise PeerProtocolError(f"bytes expected, not {type(value).__name__}")
    return value
