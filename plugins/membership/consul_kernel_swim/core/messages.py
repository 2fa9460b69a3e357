"""memberlist's messages: one frozen record each, with `encode` giving Go's bytes, type byte first.

Source: the wire of memberlist 0.3 and later (hashicorp/memberlist, net.go and state.go).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Final

from msgspec import Meta, Struct

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.transport import Address

from .reader import NIL, U16, U32, Octets, StructReader, octets
from .settings import NAME_LENGTH_MAX
from .wire import pack, pack_host, unpack_address


class MessageType(IntEnum):
    """The first byte of every memberlist message."""

    PING = 0
    INDIRECT_PING = 1
    ACK = 2
    SUSPECT = 3
    ALIVE = 4
    DEAD = 5
    PUSH_PULL = 6
    COMPOUND = 7
    USER = 8
    COMPRESS = 9
    ENCRYPT = 10
    NACK = 11
    HAS_CRC = 12
    ERROR = 13
    DIGEST = 224
    """This and the next two are no part of memberlist's protocol (`digest_messages.py`)."""
    DIFFERENCE = 225
    PARTIAL_STATE = 226
    HAS_LABEL = 244


class NodeState(IntEnum):
    """memberlist's states, with the numbers of the push/pull."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


PING_BYTE: Final = bytes((MessageType.PING,))
INDIRECT_PING_BYTE: Final = bytes((MessageType.INDIRECT_PING,))
ACK_BYTE: Final = bytes((MessageType.ACK,))
SUSPECT_BYTE: Final = bytes((MessageType.SUSPECT,))
ALIVE_BYTE: Final = bytes((MessageType.ALIVE,))
DEAD_BYTE: Final = bytes((MessageType.DEAD,))
USER_BYTE: Final = bytes((MessageType.USER,))
NACK_BYTE: Final = bytes((MessageType.NACK,))
ERROR_BYTE: Final = bytes((MessageType.ERROR,))


class Ping(Struct, frozen=True, gc=False):
    """Are you there? `node` names who is meant; the answer goes to `source`, or to where the packet came from."""

    sequence: int
    node: str
    source: Address | None = None
    source_node: str = ""

    def encode(self) -> bytes:
        fields: dict[str, object] = {"Node": self.node, "SeqNo": self.sequence}
        _add_source(fields, self.source, self.source_node)
        return PING_BYTE + pack(fields)


class IndirectPing(Struct, frozen=True, gc=False):
    """Ping `node` at `target` for me; with `nack`, say so when it does not answer."""

    sequence: int
    node: str
    target: Address
    nack: bool = False
    source: Address | None = None
    source_node: str = ""

    def encode(self) -> bytes:
        fields: dict[str, object] = {
            "Nack": self.nack,
            "Node": self.node,
            "Port": self.target.port,
            "SeqNo": self.sequence,
        }
        _add_source(fields, self.source, self.source_node)
        fields["Target"] = pack_host(self.target.host)
        return INDIRECT_PING_BYTE + pack(fields)


class Ack(Struct, frozen=True, gc=False):
    """Yes. `payload` is Serf's: the sender's network coordinate."""

    sequence: int
    payload: bytes | None = None

    def encode(self) -> bytes:
        return ACK_BYTE + pack({"Payload": self.payload, "SeqNo": self.sequence})


class Nack(Struct, frozen=True, gc=False, rename={"sequence": "SeqNo"}):
    """The node that you asked me to ping has not answered, but I have heard you."""

    sequence: U32 = 0

    def encode(self) -> bytes:
        return NACK_BYTE + pack({"SeqNo": self.sequence})


NodeName = Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]
_ACCUSATION: Final = {"incarnation": "Incarnation", "node": "Node", "accuser": "From"}


class Suspect(Struct, frozen=True, gc=False, rename=_ACCUSATION):
    """`accuser` had no answer from `node` at this incarnation."""

    incarnation: U32 = 0
    node: NodeName = ""
    accuser: NodeName = ""

    def encode(self) -> bytes:
        return SUSPECT_BYTE + pack({"From": self.accuser, "Incarnation": self.incarnation, "Node": self.node})


class Dead(Struct, frozen=True, gc=False, rename=_ACCUSATION):
    """`node` is gone; it left on purpose when `accuser` is the node itself."""

    incarnation: U32 = 0
    node: NodeName = ""
    accuser: NodeName = ""

    def encode(self) -> bytes:
        return DEAD_BYTE + pack({"From": self.accuser, "Incarnation": self.incarnation, "Node": self.node})


class Alive(Struct, frozen=True, gc=False):
    """`node` is there at this incarnation. `host` is 4 or 16 bytes; `versions` is empty or has 6 or 7 bytes."""

    incarnation: int
    node: str
    host: bytes
    port: int
    meta: bytes
    versions: bytes

    def encode(self) -> bytes:
        return ALIVE_BYTE + pack(
            {
                "Addr": self.host,
                "Incarnation": self.incarnation,
                "Meta": self.meta or None,
                "Node": self.node,
                "Port": self.port,
                "Vsn": self.versions,
            }
        )


class User(Struct, frozen=True, gc=False):
    """A message for the layer above: Serf's type byte and body."""

    body: bytes

    def encode(self) -> bytes:
        return USER_BYTE + self.body


class ErrorReply(Struct, frozen=True, gc=False, rename={"text": "Error"}):
    """Sent over a stream instead of an answer."""

    text: str = ""

    def encode(self) -> bytes:
        return ERROR_BYTE + pack({"Error": self.text})


Message = Ping | IndirectPing | Ack | Nack | Suspect | Alive | Dead | User | ErrorReply


def _add_source(fields: dict[str, object], source: Address | None, source_node: str) -> None:
    """The three Source fields, each left out when empty, in their place among the keys."""
    if source is not None:
        fields["SourceAddr"] = pack_host(source.host)
    if source_node:
        fields["SourceNode"] = source_node
    if source is not None:
        fields["SourcePort"] = source.port


# --- reading: Go's structs where a record of ours has other fields, in the order of Go's declarations ---


class _Ping(Struct, gc=False, rename="pascal"):
    seq_no: U32 = 0
    node: str = ""
    source_addr: Octets = NIL
    source_port: U16 = 0
    source_node: str = ""


class _IndirectPing(Struct, gc=False, rename="pascal"):
    seq_no: U32 = 0
    target: Octets = NIL
    port: U16 = 0
    node: str = ""
    nack: bool = False
    source_addr: Octets = NIL
    source_port: U16 = 0
    source_node: str = ""


class _Ack(Struct, gc=False, rename="pascal"):
    seq_no: U32 = 0
    payload: Octets = NIL


class _Alive(Struct, gc=False, rename="pascal"):
    incarnation: U32 = 0
    node: str = ""
    addr: Octets = NIL
    port: U16 = 0
    meta: Octets = NIL
    vsn: Octets = NIL


_ALIVE_KEPT_BYTES: Final = 1024
_ALIVES_KEPT: Final = 1024

_read_ping: Final = StructReader(_Ping).read
_read_indirect_ping: Final = StructReader(_IndirectPing).read
_read_ack: Final = StructReader(_Ack).read
_read_alive: Final = StructReader(_Alive).read


def _decode_ping(body: bytes) -> Ping:
    wire = _read_ping(body)
    return Ping(wire.seq_no, wire.node, _source(wire), wire.source_node)


def _decode_indirect_ping(body: bytes) -> IndirectPing:
    wire = _read_indirect_ping(body)
    target = unpack_address(octets(wire.target), wire.port)
    return IndirectPing(wire.seq_no, wire.node, target, wire.nack, _source(wire), wire.source_node)


def _source(wire: _Ping | _IndirectPing) -> Address | None:
    host = octets(wire.source_addr)
    return unpack_address(host, wire.source_port) if host and wire.source_port else None


def _decode_ack(body: bytes) -> Ack:
    wire = _read_ack(body)
    return Ack(wire.seq_no, octets(wire.payload) if wire.payload != NIL else None)


def _decode_alive(body: bytes) -> Alive:
    """A rumour comes a dozen times: the records of the latest are kept, as the same objects."""
    return _known_alive(body) if len(body) <= _ALIVE_KEPT_BYTES else _read_alive_body(body)


def _read_alive_body(body: bytes) -> Alive:
    wire = _read_alive(body)
    host = _checked_host(octets(wire.addr))
    return Alive(wire.incarnation, wire.node, host, wire.port, octets(wire.meta), octets(wire.vsn))


_known_alive: Final = lru_cache(_ALIVES_KEPT)(_read_alive_body)


def _checked_host(host: bytes) -> bytes:
    if len(host) not in (4, 16):
        raise PeerProtocolError(f"an IP address has 4 or 16 bytes, not {len(host)}")
    return host


_DECODERS: Final[dict[int, Callable[[bytes], Message]]] = {
    MessageType.PING: _decode_ping,
    MessageType.INDIRECT_PING: _decode_indirect_ping,
    MessageType.ACK: _decode_ack,
    MessageType.SUSPECT: StructReader(Suspect).read,
    MessageType.ALIVE: _decode_alive,
    MessageType.DEAD: StructReader(Dead).read,
    MessageType.USER: User,
    MessageType.NACK: StructReader(Nack).read,
    MessageType.ERROR: StructReader(ErrorReply).read,
}

_FIRST_RUMOUR: Final = int(MessageType.SUSPECT)
_LAST_RUMOUR: Final = int(MessageType.DEAD)
_RUMOUR_KEPT_BYTES: Final = 1024
_RUMOURS_KEPT: Final = 2048


@lru_cache(_RUMOURS_KEPT)
def _known_rumour(message: bytes) -> Message:
    """A rumour comes from a dozen members, as the same bytes: the records of the latest are kept."""
    return _DECODERS[message[0]](message[1:])


def decode_message(message: bytes) -> Message:
    """One message that is no wrapper; of a rumour that was read before, the same object. Raises PeerProtocolError."""
    if not message:
        raise PeerProtocolError("an empty message")
    kind = message[0]
    if _FIRST_RUMOUR <= kind <= _LAST_RUMOUR and len(message) <= _RUMOUR_KEPT_BYTES:
        return _known_rumour(message)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise PeerProtocolError(f"message type {kind} has no place here")
    return decoder(message[1:])


class RemoteNode(Struct, frozen=True, gc=False):
    """One line of a push/pull: what the sender knows about a node."""

    state: NodeState
    alive: Alive

    def encode(self) -> bytes:
        """The node state as it is written in a push/pull."""
        return pack(
            {
                "Addr": self.alive.host,
                "Incarnation": self.alive.incarnation,
                "Meta": self.alive.meta or None,
                "Name": self.alive.node,
                "Port": self.alive.port,
                "State": int(self.state),
                "Vsn": self.alive.versions,
            }
        )


class _NodeState(Struct, gc=False, rename="pascal"):
    name: str = ""
    addr: Octets = NIL
    port: U16 = 0
    meta: Octets = NIL
    incarnation: U32 = 0
    state: Annotated[int, Meta(ge=0, le=3)] = 0
    vsn: Octets = NIL


_read_node_state: Final = StructReader(_NodeState).read
_LINE_KEPT_BYTES: Final = 1024
_LINES_KEPT: Final = 16_384


def decode_remote_node(line: bytes) -> RemoteNode:
    """One node state of a push/pull. Raises PeerProtocolError.

    Most lines are those of the last exchange, with anybody: the records of the latest are kept, as the same objects.
    """
    return _known_line(line) if len(line) <= _LINE_KEPT_BYTES else _decode_line(line)


def _decode_line(line: bytes) -> RemoteNode:
    wire = _read_node_state(line)
    host = _checked_host(octets(wire.addr))
    alive = Alive(wire.incarnation, wire.name, host, wire.port, octets(wire.meta), octets(wire.vsn))
    return RemoteNode(NodeState(wire.state), alive)


_known_line: Final = lru_cache(_LINES_KEPT)(_decode_line)
