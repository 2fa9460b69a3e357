"""The outermost layers, for packets and for streams: the cipher and the label."""

from __future__ import annotations

import asyncio
from typing import Final

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.errors import CipherError, PeerProtocolError, StreamClosedError
from consul_kernel.contracts.membership import MembershipContext
from consul_kernel.contracts.transport import Stream

from .core.messages import MessageType
from .core.streams import STREAM_BYTES_MAX, StreamDecoder, StreamMessage

_READ_BYTES: Final = 65_536
_DECODE_HERE_BYTES: Final = 32_768
_ENCRYPT: Final = bytes((MessageType.ENCRYPT,))
_LABEL: Final = bytes((MessageType.HAS_LABEL,))

NO_ANSWER: Final = "the other side closed the connection without an answer: does it have the same encryption key?"


def make_sealing(context: MembershipContext, label: str) -> Sealing:
    """The layers that a pool is configured with."""
    return Sealing(
        context.cipher,
        label.encode(),
        verify_incoming=context.verify_incoming,
        verify_outgoing=context.verify_outgoing,
    )


class Sealing:
    """Seals what goes out and opens what comes in. With a cipher, plain bytes are refused.

    `label` (at most 255 bytes, often empty) goes before everything and is authenticated by the cipher. While encryption
    is being introduced, plain bytes may be taken as well (not `verify_incoming`), or sent (not `verify_outgoing`).
    """

    def __init__(
        self, cipher: Cipher | None, label: bytes = b"", *, verify_incoming: bool = True, verify_outgoing: bool = True
    ) -> None:
        if len(label) > 255:
            raise ValueError("a label has at most 255 bytes")
        self._cipher = cipher
        self._sealer = cipher if verify_outgoing else None
        self._takes_plain = cipher is None or not verify_incoming
        self._label = label
        self._header = _LABEL + bytes((len(label),)) + label if label else b""

    @property
    def overhead_bytes(self) -> int:
        """How much longer a packet may become."""
        return len(self._header) + (0 if self._cipher is None else self._cipher.overhead)

    def seal_packet(self, packet: bytes) -> bytes:
        """A packet as it goes over the network."""
        if self._sealer is not None:
            packet = self._sealer.seal(packet, self._label)
        return self._header + packet

    def open_packet(self, packet: bytes) -> bytes:
        """The plain packet. Raises PeerProtocolError or CipherError."""
        header = self._header
        if header:
            if not packet.startswith(header):
                raise PeerProtocolError("a packet without this pool's label")
            packet = packet[len(header) :]
        elif packet[:1] == _LABEL and self._cipher is None:
            raise PeerProtocolError("a packet with a label, where none is configured")
        if self._cipher is None:
            return packet
        try:
            return self._cipher.open(packet, self._label)
        except CipherError:
            # Sealed packets bear no mark: one that does not open is plain, or else makes no sense to the codec.
            if self._takes_plain:
                return packet
            raise

    def seal_stream(self, message: bytes, *, dialling: bool) -> bytes:
        """A message as it goes over a stream; only the side that dials writes the label."""
        if self._sealer is not None:
            message = self._frame(self._sealer, message)
        return self._header + message if dialling else message

    def _frame(self, cipher: Cipher, message: bytes) -> bytes:
        """The length is authenticated, so it must be known before sealing; a cipher that pads needs a second try."""
        length = len(message) + cipher.overhead
        for _ in range(3):
            head = _ENCRYPT + length.to_bytes(4, "big")
            sealed = cipher.seal(message, head + self._label)
            if len(sealed) == length:
                return head + sealed
            length = len(sealed)
        raise CipherError("the cipher's overhead is not constant for one message")

    async def receive(self, stream: Stream, *, served: bool) -> StreamMessage:
        """Read one message. Raises PeerProtocolError, CipherError or TransportError."""
        if served:
            first = await self._read_label(stream, await stream.read_exactly(1))
        else:
            first = await stream.read(1)
            if not first:
                raise StreamClosedError(NO_ANSWER)
        if first == _ENCRYPT:
            return await self._receive_sealed(stream)
        if not self._takes_plain:
            raise PeerProtocolError("Encryption is configured but remote state is not encrypted")
        decoder = StreamDecoder()
        message = decoder.feed(first)
        received = 0
        while message is None:
            data = await stream.read(_READ_BYTES)
            if not data:
                raise PeerProtocolError("a stream that ends within a message")
            received += len(data)
            message = await _decode(decoder, data, received)
        return message

    async def _read_label(self, stream: Stream, first: bytes) -> bytes:
        """Check the label; the first byte after it."""
        if (first == _LABEL) != bool(self._header):
            raise PeerProtocolError("a stream with another label than this pool's")
        if not self._header:
            return first
        rest = await stream.read_exactly(len(self._header) - 1)
        if first + rest != self._header:
            raise PeerProtocolError("a stream with another label than this pool's")
        return await stream.read_exactly(1)

    async def _receive_sealed(self, stream: Stream) -> StreamMessage:
        length = await stream.read_exactly(4)
        size = int.from_bytes(length, "big")
        if self._cipher is None:
            raise PeerProtocolError("Remote state is encrypted and encryption is not configured")
        if size > STREAM_BYTES_MAX:
            raise PeerProtocolError(f"a sealed message of more than {STREAM_BYTES_MAX} bytes")
        sealed = await stream.read_exactly(size)
        plain = self._cipher.open(sealed, _ENCRYPT + length + self._label)
        message = await _decode(StreamDecoder(), plain, len(plain))
        if message is None:
            raise PeerProtocolError("a sealed message that is cut short")
        return message


async def _decode(decoder: StreamDecoder, data: bytes, received: int) -> StreamMessage | None:
    """Decode in the event loop what is small; what is large may be compressed, which takes a second per megabyte."""
    if received <= _DECODE_HERE_BYTES:
        return decoder.feed(data)
    return await asyncio.to_thread(decoder.feed, data)
