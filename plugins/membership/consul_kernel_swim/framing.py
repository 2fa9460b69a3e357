"""Messages over streams: reading one without holding the event loop up, and without letting memory grow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from consul_kernel.contracts.errors import PeerProtocolError, StreamClosedError
from consul_kernel.contracts.transport import Stream

from .core.packets import compress_message
from .core.streams import NODES_MAX, STREAM_BYTES_MAX, StreamDecoder, StreamMessage
from .sealing import ENCRYPT, LABEL, Sealing

_READ_BYTES: Final = 65_536
_SLICE_BYTES: Final = 16_384
"""So much is decoded in one turn of the event loop: about a millisecond."""
_EXPAND_HERE_BYTES: Final = 4_096
_COMPRESS_FROM_BYTES: Final = 512
_HELD_BYTES_MAX: Final = 32 << 20
_FREE_BYTES: Final = 65_536

NO_ANSWER: Final = (
    "the other side closed the connection without an answer: "
    "is this its gossip port, and does it have the same encryption key?"
)
OVER_BUDGET: Final = "too much is being received already"

ResultT = TypeVar("ResultT")


class HeldBytes:
    """What all streams together hold of messages that are not whole yet.

    The first 64 KiB of each stream are free, so that whoever holds much keeps no small pool's exchanges out.
    """

    def __init__(self, total: int = _HELD_BYTES_MAX, free: int = _FREE_BYTES) -> None:
        self._free = free
        self._left = total
        self.refused = 0

    def open(self) -> Allowance:
        """What one stream may hold."""
        return Allowance(self, self._free)

    def take(self, count: int) -> None:
        """Raises PeerProtocolError when that is more than is left."""
        if count > self._left:
            self.refused += 1
            raise PeerProtocolError(OVER_BUDGET)
        self._left -= count

    def give_back(self, count: int) -> None:
        self._left += count


class Allowance:
    """One stream's part; given back at the end of the `with`."""

    def __init__(self, held: HeldBytes, free: int) -> None:
        self._held = held
        self._free = free
        self._taken = 0

    def take(self, count: int) -> None:
        """Count bytes that were received. Raises PeerProtocolError when they are too many."""
        free = min(self._free, count)
        self._free -= free
        self._held.take(count - free)
        self._taken += count - free

    def __enter__(self) -> Allowance:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.give_back(self._taken)


class Framing:
    """Reads and writes messages over streams; states of more than `nodes_max` nodes are refused."""

    def __init__(self, sealing: Sealing, *, compress: bool = False, nodes_max: int = NODES_MAX) -> None:
        self._sealing = sealing
        self._compress = compress
        self._nodes_max = nodes_max
        self.held = HeldBytes()
        self._expander: ThreadPoolExecutor | None = None

    async def seal(self, message: bytes, *, dialling: bool) -> bytes:
        """A message as it is written; compression is worth its time only for what is not tiny."""
        if self._compress and len(message) >= _COMPRESS_FROM_BYTES:
            message = await self._in_thread(compress_message, message)
        return self._sealing.seal_stream(message, dialling=dialling)

    async def receive(self, stream: Stream, *, served: bool) -> StreamMessage:
        """Read one message. Raises PeerProtocolError, CipherError or TransportError."""
        if served:
            first = await self._read_label(stream, await stream.read_exactly(1))
        else:
            first = await stream.read(1)
            if not first:
                raise StreamClosedError(NO_ANSWER)
        with self.held.open() as allowance:
            if first == ENCRYPT:
                return await self._receive_sealed(stream, allowance)
            self._sealing.take_plain()
            return await self._receive_plain(stream, first, allowance)

    async def _read_label(self, stream: Stream, first: bytes) -> bytes:
        """Check the label; the first byte after it."""
        header = self._sealing.header
        if (first == LABEL) != bool(header):
            raise PeerProtocolError("a stream with another label than this pool's")
        if not header:
            return first
        rest = await stream.read_exactly(len(header) - 1)
        if first + rest != header:
            raise PeerProtocolError("a stream with another label than this pool's")
        return await stream.read_exactly(1)

    async def _receive_plain(self, stream: Stream, first: bytes, allowance: Allowance) -> StreamMessage:
        decoder = StreamDecoder(nodes_max=self._nodes_max)
        message = decoder.feed(first)
        while message is None:
            data = await stream.read(_READ_BYTES)
            if not data:
                raise PeerProtocolError("a stream that ends within a message")
            allowance.take(len(data))
            message = await self._decode(decoder, data)
        return message

    async def _receive_sealed(self, stream: Stream, allowance: Allowance) -> StreamMessage:
        missing = int.from_bytes(await stream.read_exactly(4), "big")
        self._sealing.take_frame()
        if missing > STREAM_BYTES_MAX:
            raise PeerProtocolError(f"a sealed message of more than {STREAM_BYTES_MAX} bytes")
        sealed = bytearray()
        while missing:
            data = await stream.read(min(missing, _READ_BYTES))
            if not data:
                raise PeerProtocolError("a stream that ends within a message")
            allowance.take(len(data))
            sealed += data
            missing -= len(data)
        plain = self._sealing.open_message(bytes(sealed))
        decoder = StreamDecoder(nodes_max=self._nodes_max)
        message = decoder.feed(plain[:1]) or await self._decode(decoder, plain[1:])
        if message is None:
            raise PeerProtocolError("a sealed message that is cut short")
        return message

    async def _decode(self, decoder: StreamDecoder, data: bytes) -> StreamMessage | None:
        """Decode slice by slice, the others of the event loop between; what is large and compressed in a thread."""
        if decoder.is_compressed and decoder.received_bytes + len(data) > _EXPAND_HERE_BYTES:
            return await self._in_thread(decoder.feed, data)
        for start in range(0, len(data), _SLICE_BYTES):
            if start:
                await asyncio.sleep(0)
            message = decoder.feed(data[start : start + _SLICE_BYTES])
            if message is not None:
                return message
        return None

    async def _in_thread(self, work: Callable[[bytes], ResultT], data: bytes) -> ResultT:
        """One at a time: both ways take long, and expanding tens of megabytes of memory."""
        if self._expander is None:
            self._expander = ThreadPoolExecutor(1, thread_name_prefix="swim-expand")
        return await asyncio.get_running_loop().run_in_executor(self._expander, work, data)

    def close(self) -> None:
        """Let go of the thread; what it is at is not waited for."""
        if self._expander is not None:
            self._expander.shutdown(wait=False, cancel_futures=True)
            self._expander = None
