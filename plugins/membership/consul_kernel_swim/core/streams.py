"""What goes over a stream: the push/pull of whole states, digests, pings over TCP, user messages, errors.

`StreamDecoder` takes the plain bytes as they come and says when the message is whole: the other side does not end
its stream, so the end must be known from the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from consul_kernel.contracts.errors import PeerProtocolError

from .digest_messages import (
    Difference,
    Digest,
    PartialState,
    decode_asked,
    decode_difference,
    decode_digest,
)
from .messages import (
    Ack,
    ErrorReply,
    MessageType,
    Ping,
    RemoteNode,
    User,
    decode_message,
    decode_remote_node,
)
from .packets import expand
from .wire import MSGPACK_ERRORS, Fields, as_fields, pack, read_bytes, read_flag, read_uint

STREAM_BYTES_MAX: Final = 20 << 20
"""memberlist's limit for the sealed form, for a user message and for the state of the layer above."""
EXPANDED_BYTES_MAX: Final = 40 << 20
NODES_MAX: Final = 1 << 17
"""Twice as many as members are kept by default; memberlist's own limit is eight times this."""
_ARRAY_MAX: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class PushPull:
    """A whole state: every node that the sender knows, and Serf's own state as bytes."""

    nodes: tuple[RemoteNode, ...]
    user_state: bytes
    join: bool

    def encode(self) -> bytes:
        return encode_push_pull([node.encode() for node in self.nodes], self.user_state, join=self.join)


def encode_push_pull(lines: Sequence[bytes], user_state: bytes, *, join: bool) -> bytes:
    """A push/pull of nodes that are written already."""
    header = pack({"Join": join, "Nodes": len(lines), "UserStateLen": len(user_state)})
    return b"".join((bytes((MessageType.PUSH_PULL,)), header, *lines, user_state))


@dataclass(frozen=True, slots=True)
class UserStream:
    """A user message over a stream: a length, then that many bytes."""

    body: bytes

    def encode(self) -> bytes:
        return bytes((MessageType.USER,)) + pack({"UserMsgLen": len(self.body)}) + self.body


StreamMessage = PushPull | Ping | Ack | UserStream | ErrorReply | Digest | Difference | PartialState

_STATES: Final = (MessageType.PUSH_PULL, MessageType.PARTIAL_STATE)
_WHOLE: Final = (
    MessageType.COMPRESS,
    MessageType.PING,
    MessageType.ACK,
    MessageType.ERROR,
    MessageType.DIGEST,
    MessageType.DIFFERENCE,
)


class StreamDecoder:
    """Bytes in, one message out. Raises PeerProtocolError as soon as the bytes cannot become a message."""

    def __init__(self, size_max: int = STREAM_BYTES_MAX, nodes_max: int = NODES_MAX) -> None:
        self._size_max = size_max
        self._nodes_max = nodes_max
        self._unpacker = msgpack.Unpacker(
            raw=True,
            max_buffer_size=EXPANDED_BYTES_MAX,
            max_array_len=_ARRAY_MAX,
            max_map_len=_ARRAY_MAX,
        )
        self._kind = -1
        self._steps: Iterator[StreamMessage | None] | None = None
        self._received = 0
        self._data = bytearray()
        """All that came of a push/pull or a part of one behind the type byte, since lines of it are wanted."""

    @property
    def is_compressed(self) -> bool:
        """Whether the message is wrapped, so that the end of it is expanded, which takes long."""
        return self._kind == MessageType.COMPRESS

    @property
    def received_bytes(self) -> int:
        """How much was fed."""
        return self._received

    def feed(self, data: bytes) -> StreamMessage | None:
        """The message once it is whole, else None. Feed nothing after that."""
        self._received += len(data)
        if self._received > self._size_max:
            raise PeerProtocolError(f"a stream of more than {self._size_max} bytes")
        if self._steps is None:
            if not data:
                return None
            self._kind, data = data[0], data[1:]
            self._steps = self._decode()
        if self._kind in _STATES:
            self._data += data
        try:
            self._unpacker.feed(data)
            message = next(self._steps)
        except (StopIteration, msgpack.BufferFull, *MSGPACK_ERRORS) as error:
            raise PeerProtocolError(f"a stream that cannot be read: {error}") from error
        if message is not None:
            # The steps hold this decoder, and it all the bytes: without them both go at once.
            self._steps = iter(())
        return message

    def _decode(self) -> Iterator[StreamMessage | None]:
        """Yields None as long as more bytes are needed, then the message."""
        if self._kind in _STATES:
            return self._decode_states()
        if self._kind == MessageType.USER:
            return self._decode_user()
        if self._kind in _WHOLE:
            return self._decode_whole(self._kind)
        raise PeerProtocolError(f"message type {self._kind} has no place in a stream")

    def _objects(self) -> Iterator[Any]:
        """The next msgpack object, preceded by as many `_MORE` as it takes."""
        while True:
            try:
                value = self._unpacker.unpack()
            except msgpack.OutOfData:
                yield _MORE
            else:
                yield value

    def _decode_whole(self, kind: int) -> Iterator[StreamMessage | None]:
        for value in self._objects():
            if value is _MORE:
                yield None
                continue
            body = pack(value)
            if kind == MessageType.COMPRESS:
                yield _expand_stream(body, self._nodes_max)
            else:
                yield _narrow(bytes((kind,)) + body)
            return

    def _decode_states(self) -> Iterator[StreamMessage | None]:
        for value in self._objects():
            if value is _MORE:
                yield None
                continue
            header = as_fields(value, (b"Nodes", b"UserStateLen", b"Join"))
            break
        finish = self._finish_of(header)
        count = read_uint(header, b"Nodes", self._nodes_max)
        size = read_uint(header, b"UserStateLen", STREAM_BYTES_MAX)
        nodes: list[RemoteNode] = []
        for line in self._lines(count):
            if line is None:
                yield None
            else:
                nodes.append(decode_remote_node(line))
        for state in self._raw(size):
            yield None if state is None else finish(tuple(nodes), state)

    def _finish_of(self, header: Fields) -> Callable[[tuple[RemoteNode, ...], bytes], StreamMessage]:
        """What becomes of the nodes and the upper layer's state, by what the header says besides."""
        if self._kind == MessageType.PUSH_PULL:
            join = read_flag(header, b"Join")
            return lambda nodes, state: PushPull(nodes, state, join)
        asked, with_events = decode_asked(read_bytes(header, b"Asked")), read_flag(header, b"Events")
        return lambda nodes, state: PartialState(nodes, state, asked, with_events)

    def _lines(self, count: int) -> Iterator[bytes | None]:
        """`count` objects as the bytes that they are, each preceded by as many None as it takes."""
        skip, tell, data = self._unpacker.skip, self._unpacker.tell, self._data
        start = tell()
        while count:
            try:
                skip()
            except msgpack.OutOfData:
                yield None
                continue
            end = tell()
            yield bytes(data[start:end])
            start = end
            count -= 1

    def _decode_user(self) -> Iterator[StreamMessage | None]:
        for value in self._objects():
            if value is _MORE:
                yield None
                continue
            size = read_uint(as_fields(value, (b"UserMsgLen",)), b"UserMsgLen", STREAM_BYTES_MAX)
            break
        for body in self._raw(size):
            yield None if body is None else UserStream(body)

    def _raw(self, size: int) -> Iterator[bytes | None]:
        """`size` raw bytes, preceded by as many None as it takes."""
        parts: list[bytes] = []
        missing = size
        while True:
            if missing:
                part = self._unpacker.read_bytes(missing)
                missing -= len(part)
                parts.append(part)
            if not missing:
                yield b"".join(parts)
                return
            yield None


class _More:
    """Marks that the unpacker waits for bytes."""


_MORE: Final = _More()


def _expand_stream(body: bytes, nodes_max: int) -> StreamMessage:
    """The message inside a compressed one: one level only."""
    plain = expand(body, EXPANDED_BYTES_MAX)
    if plain[0] == MessageType.COMPRESS:
        raise PeerProtocolError("a compressed message inside a compressed message")
    message = StreamDecoder(EXPANDED_BYTES_MAX, nodes_max).feed(plain)
    if message is None:
        raise PeerProtocolError("a compressed message that is cut short")
    return message


def _narrow(message: bytes) -> StreamMessage:
    if message[0] == MessageType.DIGEST:
        return decode_digest(message[1:])
    if message[0] == MessageType.DIFFERENCE:
        return decode_difference(message[1:])
    decoded = decode_message(message)
    if isinstance(decoded, Ping | Ack | ErrorReply):
        return decoded
    if isinstance(decoded, User):
        return UserStream(decoded.body)
    raise PeerProtocolError(f"message type {message[0]} has no place in a stream")
