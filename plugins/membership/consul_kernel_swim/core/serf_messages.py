"""Serf's messages: the body of a memberlist user message, Serf's own type byte first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from consul_kernel.contracts.errors import PeerProtocolError

from .query_messages import Query, QueryResponse, Relay, decode_query, decode_query_response, decode_relay
from .reader import NIL
from .serf_types import EVENT_BUFFER, SerfType
from .wire import (
    LAMPORT_MAX,
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
)


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
class SerfState:
    """Serf's part of a push/pull, which owns its `status_times`. `events` maps a Lamport time to its (name, payload)
    pairs.
    """

    lamport_time: int
    event_time: int
    query_time: int
    status_times: dict[str, int]
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
                "StatusLTimes": self.status_times,
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
        return decode_query(content)
    if kind == b"\x05":
        return decode_query_response(content)
    if kind == b"\x09":
        return decode_relay(content)
    return None


_Lamport = Annotated[int, msgspec.Meta(ge=0, le=LAMPORT_MAX)]


class _WireState(msgspec.Struct, rename={"times": "StatusLTimes", "left": "LeftMembers", "events": "Events"}, gc=False):
    LTime: _Lamport = 0
    times: dict[str, _Lamport] | None = None
    left: list[str] | None = None
    EventLTime: _Lamport = 0
    events: msgspec.Raw = NIL
    QueryLTime: _Lamport = 0


_decode_state: Final = msgspec.msgpack.Decoder(_WireState).decode


def decode_serf_state(state: bytes) -> SerfState:
    """Serf's part of a push/pull. Raises PeerProtocolError."""
    if state[:1] != b"\x02":
        raise PeerProtocolError("the state of the upper layer is not Serf's")
    try:
        wire = _decode_state(memoryview(state)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_state_patiently(state)
    events = _read_events(read_list({b"Events": unpack(bytes(wire.events))}, b"Events"))
    return SerfState(wire.LTime, wire.EventLTime, wire.QueryLTime, wire.times or {}, wire.left or [], events)


def _decode_state_patiently(state: bytes) -> SerfState:
    """What Go's encoder does not write, and its decoder takes all the same."""
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
