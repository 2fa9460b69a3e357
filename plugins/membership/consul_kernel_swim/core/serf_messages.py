"""Serf's messages: the body of a memberlist user message, Serf's own type byte first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgpack

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.transport import Address

from .wire import (
    LAMPORT_MAX,
    MSGPACK_ERRORS,
    U16_MAX,
    U32_MAX,
    as_fields,
    as_text,
    pack,
    read_bytes,
    read_flag,
    read_lamport,
    read_list,
    read_struct,
    read_text,
    read_uint,
    unpack,
    unpack_host,
)


class SerfType(IntEnum):
    """The first byte of every Serf message."""

    LEAVE = 0
    JOIN = 1
    PUSH_PULL = 2
    USER_EVENT = 3
    QUERY = 4
    QUERY_RESPONSE = 5
    CONFLICT_RESPONSE = 6
    KEY_REQUEST = 7
    KEY_RESPONSE = 8
    RELAY = 9


QUERY_FLAG_ACK: Final = 1
QUERY_FLAG_NO_BROADCAST: Final = 2
FILTER_NODES: Final = 0
EVENT_BUFFER: Final = 512
"""Slots of the ring of recent events, in memory and in every push/pull."""


@dataclass(frozen=True, slots=True)
class LeaveIntent:
    """`node` is about to leave; about a failed one: it is to count as left."""

    lamport_time: int
    node: str
    prune: bool = False

    def encode(self) -> bytes:
        fields = {"LTime": self.lamport_time, "Node": self.node, "Prune": self.prune}
        return bytes((SerfType.LEAVE,)) + pack(fields)


@dataclass(frozen=True, slots=True)
class JoinIntent:
    """`node` has joined."""

    lamport_time: int
    node: str

    def encode(self) -> bytes:
        return bytes((SerfType.JOIN,)) + pack({"LTime": self.lamport_time, "Node": self.node})


@dataclass(frozen=True, slots=True)
class UserEventMessage:
    """A named message for everybody. `coalesce` lets a receiver keep only the newest of a name."""

    lamport_time: int
    name: str
    payload: bytes
    coalesce: bool = False

    def encode(self) -> bytes:
        return bytes((SerfType.USER_EVENT,)) + pack(
            {"CC": self.coalesce, "LTime": self.lamport_time, "Name": self.name, "Payload": self.payload}
        )


@dataclass(frozen=True, slots=True)
class Query:
    """A question to everybody who passes the filters."""

    lamport_time: int
    query_id: int
    reply_to: Address | None
    filters: tuple[bytes, ...]
    flags: int
    name: str


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
    """A message to hand on to `target`; `inner` starts with its Serf type byte."""

    target: Address
    inner: bytes


@dataclass(frozen=True, slots=True)
class SerfState:
    """Serf's part of a push/pull. `events` maps a Lamport time to its (name, payload) pairs."""

    lamport_time: int
    event_time: int
    query_time: int
    status_times: Mapping[str, int]
    left_members: Sequence[str]
    events: Mapping[int, Sequence[tuple[str, bytes]]]

    def encode(self) -> bytes:
        ring: list[object] = [None] * EVENT_BUFFER
        for lamport_time, items in self.events.items():
            ring[lamport_time % EVENT_BUFFER] = {
                "Events": [{"Name": name, "Payload": payload} for name, payload in items],
                "LTime": lamport_time,
            }
        return bytes((SerfType.PUSH_PULL,)) + pack(
            {
                "EventLTime": self.event_time,
                "Events": ring,
                "LTime": self.lamport_time,
                "LeftMembers": list(self.left_members),
                "QueryLTime": self.query_time,
                "StatusLTimes": dict(self.status_times),
            }
        )


SerfMessage = LeaveIntent | JoinIntent | UserEventMessage | Query | QueryResponse | Relay


def decode_serf(body: bytes) -> SerfMessage | None:
    """One gossiped Serf message; None for a type that is only met elsewhere. Raises PeerProtocolError."""
    kind, content = body[:1], body[1:]
    if kind == b"\x00":
        fields = read_struct(content, (b"LTime", b"Node", b"Prune"))
        return LeaveIntent(read_lamport(fields, b"LTime"), read_text(fields, b"Node"), read_flag(fields, b"Prune"))
    if kind == b"\x01":
        fields = read_struct(content, (b"LTime", b"Node"))
        return JoinIntent(read_lamport(fields, b"LTime"), read_text(fields, b"Node"))
    if kind == b"\x03":
        fields = read_struct(content, (b"LTime", b"Name", b"Payload", b"CC"))
        return UserEventMessage(
            read_lamport(fields, b"LTime"),
            read_text(fields, b"Name"),
            read_bytes(fields, b"Payload"),
            read_flag(fields, b"CC"),
        )
    if kind == b"\x04":
        return _decode_query(content)
    if kind == b"\x05":
        return _decode_query_response(content)
    if kind == b"\x09":
        return _decode_relay(content)
    return None


def _decode_query(content: bytes) -> Query:
    names = (b"LTime", b"ID", b"Addr", b"Port", b"SourceNode", b"Filters", b"Flags")
    fields = read_struct(content, (*names, b"RelayFactor", b"Timeout", b"Name", b"Payload"))
    host = read_bytes(fields, b"Addr")
    port = read_uint(fields, b"Port", U16_MAX)
    filters = tuple(item if isinstance(item, bytes) else b"" for item in read_list(fields, b"Filters"))
    return Query(
        read_lamport(fields, b"LTime"),
        read_uint(fields, b"ID", U32_MAX),
        Address(unpack_host(host), port) if host and port else None,
        filters,
        read_uint(fields, b"Flags", U32_MAX),
        read_text(fields, b"Name"),
    )


def _decode_query_response(content: bytes) -> QueryResponse:
    fields = read_struct(content, (b"LTime", b"ID", b"From", b"Flags", b"Payload"))
    return QueryResponse(
        read_lamport(fields, b"LTime"),
        read_uint(fields, b"ID", U32_MAX),
        read_text(fields, b"From"),
        read_uint(fields, b"Flags", U32_MAX),
        None if fields.get(b"Payload") is None else read_bytes(fields, b"Payload"),
    )


def _decode_relay(content: bytes) -> Relay:
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
    return Relay(Address(unpack_host(read_bytes(target, b"IP")), port), inner)


def names_in_filter(content: bytes) -> list[str]:
    """The node names of a filter of type 0, without its type byte. Raises PeerProtocolError."""
    names = unpack(content)
    if not isinstance(names, list):
        raise PeerProtocolError("a node filter is no array")
    return [as_text(name, b"node filter") for name in names]


def decode_serf_state(state: bytes) -> SerfState:
    """Serf's part of a push/pull. Raises PeerProtocolError."""
    if state[:1] != b"\x02":
        raise PeerProtocolError("the state of the upper layer is not Serf's")
    names = (b"LTime", b"StatusLTimes", b"LeftMembers", b"EventLTime", b"Events", b"QueryLTime")
    fields = read_struct(state[1:], names)
    times = as_fields(fields.get(b"StatusLTimes") or {}, ())
    return SerfState(
        read_lamport(fields, b"LTime"),
        read_lamport(fields, b"EventLTime"),
        read_lamport(fields, b"QueryLTime"),
        {as_text(name, b"StatusLTimes"): read_uint(times, name, LAMPORT_MAX) for name in times},
        [as_text(name, b"LeftMembers") for name in read_list(fields, b"LeftMembers")],
        _read_events(read_list(fields, b"Events")),
    )


def _read_events(slots: list[object]) -> dict[int, list[tuple[str, bytes]]]:
    events: dict[int, list[tuple[str, bytes]]] = {}
    for slot in slots:
        if slot is None:
            continue
        entry = as_fields(slot, (b"LTime", b"Events"))
        items = [as_fields(item, (b"Name", b"Payload")) for item in read_list(entry, b"Events")]
        events.setdefault(read_lamport(entry, b"LTime"), []).extend(
            (read_text(item, b"Name"), read_bytes(item, b"Payload")) for item in items
        )
    return events
