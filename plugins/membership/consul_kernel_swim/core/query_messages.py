"""The messages of a query: the question, its responses, and the wrapper in which others pass a response on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgpack

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.transport import Address

from .serf_types import SerfType
from .wire import (
    MSGPACK_ERRORS,
    U16_MAX,
    U32_MAX,
    as_fields,
    pack,
    pack_host,
    read_bytes,
    read_int,
    read_lamport,
    read_list,
    read_optional_bytes,
    read_struct,
    read_text,
    read_uint,
    unpack_address,
)

RELAY_FACTOR_MAX: Final = 0xFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question to everybody whom all filters fit. `timeout_ns` is how long the asker waits.

    `reply_to` is where the answer goes, None where the asker gave no address; `source` is its name.
    """

    lamport_time: int
    query_id: int
    name: str
    payload: bytes | None = None
    reply_to: Address | None = None
    source: str = ""
    filters: tuple[bytes, ...] = ()
    flags: int = 0
    relay_factor: int = 0
    timeout_ns: int = 0

    def encode(self) -> bytes:
        reply_to = self.reply_to
        return bytes((SerfType.QUERY,)) + pack(
            {
                "Addr": b"" if reply_to is None else pack_host(reply_to.host),
                "Filters": list(self.filters) or None,
                "Flags": self.flags,
                "ID": self.query_id,
                "LTime": self.lamport_time,
                "Name": self.name,
                "Payload": self.payload,
                "Port": 0 if reply_to is None else reply_to.port,
                "RelayFactor": self.relay_factor,
                "SourceNode": self.source,
                "Timeout": self.timeout_ns,
            }
        )


@dataclass(frozen=True, slots=True)
class QueryResponse:
    """An acknowledgement (flag 1) or an answer."""

    lamport_time: int
    query_id: int
    sender: str
    flags: int
    payload: bytes | None

    def encode(self) -> bytes:
        return bytes((SerfType.QUERY_RESPONSE,)) + pack(
            {
                "Flags": self.flags,
                "From": self.sender,
                "ID": self.query_id,
                "LTime": self.lamport_time,
                "Payload": self.payload,
            }
        )


@dataclass(frozen=True, slots=True)
class Relay:
    """A message to hand on to `target`, whose name is `name`; `inner` starts with its Serf type byte."""

    target: Address
    name: str
    inner: bytes

    def encode(self) -> bytes:
        address = {"IP": pack_host(self.target.host), "Port": self.target.port, "Zone": ""}
        return bytes((SerfType.RELAY,)) + pack({"DestAddr": address, "DestName": self.name}) + self.inner


def decode_query(content: bytes) -> Query:
    """A query, without its type byte. Raises PeerProtocolError."""
    names = (b"LTime", b"ID", b"Addr", b"Port", b"SourceNode", b"Filters", b"Flags")
    fields = read_struct(content, (*names, b"RelayFactor", b"Timeout", b"Name", b"Payload"))
    host = read_bytes(fields, b"Addr")
    port = read_uint(fields, b"Port", U16_MAX)
    return Query(
        lamport_time=read_lamport(fields, b"LTime"),
        query_id=read_uint(fields, b"ID", U32_MAX),
        name=read_text(fields, b"Name"),
        payload=read_optional_bytes(fields, b"Payload"),
        reply_to=unpack_address(host, port) if host and port else None,
        source=read_text(fields, b"SourceNode"),
        # A filter that is no byte string is kept as one that cannot be read, so that it lets nobody answer.
        filters=tuple(item if isinstance(item, bytes) else b"" for item in read_list(fields, b"Filters")),
        flags=read_uint(fields, b"Flags", U32_MAX),
        relay_factor=read_uint(fields, b"RelayFactor", RELAY_FACTOR_MAX),
        timeout_ns=read_int(fields, b"Timeout"),
    )


def decode_query_response(content: bytes) -> QueryResponse:
    """A response, without its type byte. Raises PeerProtocolError."""
    fields = read_struct(content, (b"LTime", b"ID", b"From", b"Flags", b"Payload"))
    return QueryResponse(
        read_lamport(fields, b"LTime"),
        read_uint(fields, b"ID", U32_MAX),
        read_text(fields, b"From"),
        read_uint(fields, b"Flags", U32_MAX),
        read_optional_bytes(fields, b"Payload"),
    )


def decode_relay(content: bytes) -> Relay:
    """A relay, without its type byte: a header, and right after it the message. Raises PeerProtocolError."""
    unpacker = msgpack.Unpacker(raw=True, max_buffer_size=max(1, len(content)))
    try:
        unpacker.feed(content)
        header = as_fields(unpacker.unpack(), (b"DestAddr", b"DestName"))
        target = as_fields(header.get(b"DestAddr"), (b"IP", b"Port", b"Zone"))
        inner = content[unpacker.tell() :]
    except MSGPACK_ERRORS as error:
        raise PeerProtocolError(f"a relay header that cannot be read: {error}") from error
    port = read_uint(target, b"Port", U16_MAX)
    if not inner or not port:
        raise PeerProtocolError("a relay without message or port")
    return Relay(unpack_address(read_bytes(target, b"IP"), port), read_text(header, b"DestName"), inner)
