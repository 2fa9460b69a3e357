"""memberlist's messages: one frozen record each, with `encode` giving Go's bytes, type byte first.

Source: the wire of memberlist 0.3 and later (hashicorp/memberlist, net.go and state.go).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.transport import Address

from .wire import (
    U16_MAX,
    U32_MAX,
    Fields,
    as_fields,
    pack,
    pack_host,
    read_bytes,
    read_flag,
    read_struct,
    read_text,
    read_uint,
    unpack_host,
)


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


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? `node` names who is meant; the answer goes to `source`, or to where the packet came from."""

    sequence: int
    node: str
    source: Address | None = None
    source_node: str = ""

    def encode(self) -> bytes:
        fields: dict[str, object] = {"Node": self.node, "SeqNo": self.sequence}
        _add_source(fields, self.source, self.source_node)
        return PING_BYTE + pack(fields)


@dataclass(frozen=True, slots=True)
class IndirectPing:
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


@dataclass(frozen=True, slots=True)
class Ack:
    """Yes. `payload` is Serf's: the sender's network coordinate."""

    sequence: int
    payload: bytes | None = None

    def encode(self) -> bytes:
        return ACK_BYTE + pack({"Payload": self.payload, "SeqNo": self.sequence})


@dataclass(frozen=True, slots=True)
class Nack:
    """The node that you asked me to ping has not answered, but I have heard you."""

    sequence: int

    def encode(self) -> bytes:
        return NACK_BYTE + pack({"SeqNo": self.sequence})


@dataclass(frozen=True, slots=True)
class Suspect:
    """`accuser` had no answer from `node` at this incarnation."""

    incarnation: int
    node: str
    accuser: str

    def encode(self) -> bytes:
        return SUSPECT_BYTE + pack({"From": self.accuser, "Incarnation": self.incarnation, "Node": self.node})


@dataclass(frozen=True, slots=True)
class Dead:
    """`node` is gone; it left on purpose when `accuser` is the node itself."""

    incarnation: int
    node: str
    accuser: str

    def encode(self) -> bytes:
        return DEAD_BYTE + pack({"From": self.accuser, "Incarnation": self.incarnation, "Node": self.node})


@dataclass(frozen=True, slots=True)
class Alive:
    """`node` is there at this incarnation. `host` is 4 or 16 bytes; `versions` is empty or 6 bytes."""

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
                "Meta": self.meta,
                "Node": self.node,
                "Port": self.port,
                "Vsn": self.versions,
            }
        )


@dataclass(frozen=True, slots=True)
class User:
    """A message for the layer above: Serf's type byte and body."""

    body: bytes

    def encode(self) -> bytes:
        return USER_BYTE + self.body


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """Sent over a stream instead of an answer."""

    text: str

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


def _read_source(fields: Fields) -> Address | None:
    host = read_bytes(fields, b"SourceAddr")
    port = read_uint(fields, b"SourcePort", U16_MAX)
    return Address(unpack_host(host), port) if host and port else None


_PING_NAMES: Final = (b"SeqNo", b"Node", b"SourceAddr", b"SourcePort", b"SourceNode")
_INDIRECT_NAMES: Final = (
    b"SeqNo",
    b"Target",
    b"Port",
    b"Node",
    b"Nack",
    b"SourceAddr",
    b"SourcePort",
    b"SourceNode",
)
_ACCUSATION_NAMES: Final = (b"Incarnation", b"Node", b"From")
_ALIVE_NAMES: Final = (b"Incarnation", b"Node", b"Addr", b"Port", b"Meta", b"Vsn")


def _decode_ping(body: bytes) -> Ping:
    fields = read_struct(body, _PING_NAMES)
    return Ping(
        read_uint(fields, b"SeqNo", U32_MAX),
        read_text(fields, b"Node"),
        _read_source(fields),
        read_text(fields, b"SourceNode"),
    )


def _decode_indirect_ping(body: bytes) -> IndirectPing:
    fields = read_struct(body, _INDIRECT_NAMES)
    return IndirectPing(
        read_uint(fields, b"SeqNo", U32_MAX),
        read_text(fields, b"Node"),
        Address(unpack_host(read_bytes(fields, b"Target")), read_uint(fields, b"Port", U16_MAX)),
        read_flag(fields, b"Nack"),
        _read_source(fields),
        read_text(fields, b"SourceNode"),
    )


def _decode_ack(body: bytes) -> Ack:
    fields = read_struct(body, (b"SeqNo", b"Payload"))
    payload = None if fields.get(b"Payload") is None else read_bytes(fields, b"Payload")
    return Ack(read_uint(fields, b"SeqNo", U32_MAX), payload)


def _decode_nack(body: bytes) -> Nack:
    return Nack(read_uint(read_struct(body, (b"SeqNo",)), b"SeqNo", U32_MAX))


def _decode_suspect(body: bytes) -> Suspect:
    fields = read_struct(body, _ACCUSATION_NAMES)
    return Suspect(read_uint(fields, b"Incarnation", U32_MAX), read_text(fields, b"Node"), read_text(fields, b"From"))


def _decode_dead(body: bytes) -> Dead:
    fields = read_struct(body, _ACCUSATION_NAMES)
    return Dead(read_uint(fields, b"Incarnation", U32_MAX), read_text(fields, b"Node"), read_text(fields, b"From"))


def _decode_alive(body: bytes) -> Alive:
    return read_alive(read_struct(body, _ALIVE_NAMES), b"Node")


def read_alive(fields: Fields, name: bytes) -> Alive:
    """The fields that an alive message and a push/pull's node state share; they differ in the key of the name."""
    host = read_bytes(fields, b"Addr")
    if len(host) not in (4, 16):
        raise PeerProtocolError(f"an IP address has 4 or 16 bytes, not {len(host)}")
    return Alive(
        read_uint(fields, b"Incarnation", U32_MAX),
        read_text(fields, name),
        host,
        read_uint(fields, b"Port", U16_MAX),
        read_bytes(fields, b"Meta"),
        read_bytes(fields, b"Vsn"),
    )


def _decode_error(body: bytes) -> ErrorReply:
    return ErrorReply(read_text(read_struct(body, (b"Error",)), b"Error"))


_DECODERS: Final[dict[int, Callable[[bytes], Message]]] = {
    MessageType.PING: _decode_ping,
    MessageType.INDIRECT_PING: _decode_indirect_ping,
    MessageType.ACK: _decode_ack,
    MessageType.SUSPECT: _decode_suspect,
    MessageType.ALIVE: _decode_alive,
    MessageType.DEAD: _decode_dead,
    MessageType.USER: User,
    MessageType.NACK: _decode_nack,
    MessageType.ERROR: _decode_error,
}


def decode_message(message: bytes) -> Message:
    """One message that is no wrapper. Raises PeerProtocolError."""
    if not message:
        raise PeerProtocolError("an empty message")
    decoder = _DECODERS.get(message[0])
    if decoder is None:
        raise PeerProtocolError(f"message type {message[0]} has no place here")
    return decoder(message[1:])


@dataclass(frozen=True, slots=True)
class RemoteNode:
    """One line of a push/pull: what the sender knows about a node."""

    state: NodeState
    alive: Alive

    def fields(self) -> dict[str, object]:
        """The node state as it is written in a push/pull."""
        return {
            "Addr": self.alive.host,
            "Incarnation": self.alive.incarnation,
            "Meta": self.alive.meta,
            "Name": self.alive.node,
            "Port": self.alive.port,
            "State": int(self.state),
            "Vsn": self.alive.versions,
        }


_NODE_STATE_NAMES: Final = (b"Name", b"Addr", b"Port", b"Meta", b"Incarnation", b"State", b"Vsn")


def decode_remote_node(value: object) -> RemoteNode:
    """One node state of a push/pull, already unpacked. Raises PeerProtocolError."""
    fields = as_fields(value, _NODE_STATE_NAMES)
    state = read_uint(fields, b"State", NodeState.LEFT)
    return RemoteNode(NodeState(state), read_alive(fields, b"Name"))
