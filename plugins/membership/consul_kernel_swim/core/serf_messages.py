"""Serf's messages: the body of a memberlist user message, Serf's own type byte first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from consul_kernel.contracts.errors import PeerProtocolError

from .query_messages import Query, QueryResponse, Relay, decode_query, decode_query_response, decode_relay
from .reader import NIL, Octets, StructReader, octets
from .serf_types import EVENT_BUFFER, SerfType
from .wire import (
    LAMPORT_MAX,
    as_fields,
    as_text,
    pack,
    read_bytes,
    read_lamport,
    read_list,
    read_struct,
    read_text,
    read_uint,
    unpack,
)

Lamport = Annotated[int, Meta(ge=0, le=LAMPORT_MAX)]


class LeaveIntent(Struct, frozen=True, gc=False, rename={"lamport_time": "LTime", "node": "Node", "prune": "Prune"}):
    """`node` is about to leave; about a failed one: it is to count as left."""

    lamport_time: Lamport = 0
    node: str = ""
    prune: bool = False

    def encode(self) -> bytes:
        fields = {"LTime": self.lamport_time, "Node": self.node, "Prune": self.prune}
        return bytes((SerfType.LEAVE,)) + pack(fields)


class JoinIntent(Struct, frozen=True, gc=False, rename={"lamport_time": "LTime", "node": "Node"}):
    """`node` has joined."""

    lamport_time: Lamport = 0
    node: str = ""

    def encode(self) -> bytes:
        return bytes((SerfType.JOIN,)) + pack({"LTime": self.lamport_time, "Node": self.node})


class UserEventMessage(Struct, frozen=True, gc=False):
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
        """As Serf writes it: the events in their places of the ring."""
        ring: list[object] = [None] * EVENT_BUFFER
        for lamport_time, items in self.events.items():
            ring[lamport_time % EVENT_BUFFER] = _write_events(lamport_time, items)
        return self._encode(ring)

    def encode_briefly(self) -> bytes:
        """The same without the empty places, for whoever does not know them by number."""
        return self._encode([_write_events(lamport_time, items) for lamport_time, items in self.events.items()])

    def _encode(self, ring: list[object]) -> bytes:
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


def _write_events(lamport_time: int, items: Sequence[tuple[str, bytes]]) -> dict[str, object]:
    return {"Events": [{"Name": name, "Payload": payload} for name, payload in items], "LTime": lamport_time}


_BRIEF: Final = {
    "lamport_time": "LTime",
    "event_time": "EventLTime",
    "query_time": "QueryLTime",
    "events_since": "EventsSince",
    "events": "EventsHash",
}


class Brief(Struct, frozen=True, gc=False, rename=_BRIEF):
    """Serf's part of a digest: the clocks, since when events are remembered, and in an answer a hash of them."""

    lamport_time: Lamport = 0
    event_time: Lamport = 0
    query_time: Lamport = 0
    events_since: Lamport = 0
    events: int = 0

    def encode(self) -> bytes:
        return pack(
            {
                "EventLTime": self.event_time,
                "EventsHash": self.events,
                "EventsSince": self.events_since,
                "LTime": self.lamport_time,
                "QueryLTime": self.query_time,
            }
        )


decode_brief: Final = StructReader(Brief).read
"""Serf's part of a digest. Raises PeerProtocolError."""

SerfMessage = LeaveIntent | JoinIntent | UserEventMessage | Query | QueryResponse | Relay


class _UserEvent(Struct, gc=False, rename={"lamport_time": "LTime", "name": "Name", "payload": "Payload", "cc": "CC"}):
    lamport_time: Lamport = 0
    name: str = ""
    payload: Octets = NIL
    cc: bool = False


_read_user_event: Final = StructReader(_UserEvent).read


def _decode_user_event(content: bytes) -> UserEventMessage:
    wire = _read_user_event(content)
    return UserEventMessage(wire.lamport_time, wire.name, octets(wire.payload), wire.cc)


_DECODERS: Final[dict[int, Callable[[bytes], SerfMessage]]] = {
    SerfType.LEAVE: StructReader(LeaveIntent).read,
    SerfType.JOIN: StructReader(JoinIntent).read,
    SerfType.USER_EVENT: _decode_user_event,
    SerfType.QUERY: decode_query,
    SerfType.QUERY_RESPONSE: decode_query_response,
    SerfType.RELAY: decode_relay,
}


def decode_serf(body: bytes) -> SerfMessage | None:
    """One gossiped Serf message; None for a type that is only met elsewhere. Raises PeerProtocolError."""
    decoder = _DECODERS.get(body[0]) if body else None
    return None if decoder is None else decoder(body[1:])


class _WireState(msgspec.Struct, rename={"times": "StatusLTimes", "left": "LeftMembers", "events": "Events"}, gc=False):
    LTime: Lamport = 0
    times: dict[str, Lamport] | None = None
    left: list[str] | None = None
    EventLTime: Lamport = 0
    events: msgspec.Raw = NIL
    QueryLTime: Lamport = 0


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
