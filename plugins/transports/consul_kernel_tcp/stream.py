"""A TCP connection as the contract's `Stream`."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Collection
from typing import cast

from consul_kernel.contracts.errors import StreamClosedError, TransportError
from consul_kernel.contracts.transport import Address

from .sockets import keep_alive, to_address

READ_HIGH_BYTES = 256 * 1024
"""Unread bytes at which the kernel is left to slow the peer down, until half of them are read."""
READ_BUFFER_BYTES = 256 * 1024
WRITE_HIGH_BYTES = 256 * 1024
LINGER_S = 10.0
"""How long a closed stream may take to hand its queue to a peer that does not read."""


class TcpStream(asyncio.BufferedProtocol):
    """Both ends of a connection, dialled or accepted.

    The socket is read into `buffer`, which all streams of a transport share: asyncio hands each read over before
    it begins the next, and a buffer of its own for each read (its default) costs more than the read itself.
    Chunks are kept as they came, so that a `read` which takes a whole chunk copies nothing.
    """

    def __init__(
        self, buffer: bytearray, on_made: Callable[[TcpStream], None], on_lost: Callable[[TcpStream], None]
    ) -> None:
        self._buffer = buffer
        self._on_made = on_made
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self.peer = Address("", 0)
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._reading_paused = False
        self._ended = False
        self._broken: Exception | None = None
        self._closed = False
        self._write_ended = False
        self._reader: asyncio.Future[None] | None = None
        self._writing_paused = False
        self._drainers: deque[asyncio.Future[None]] = deque()
        self._linger: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done once the socket is gone."""

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock)
        name = transport.get_extra_info("peername")
        if name:
            self.peer = to_address(name)
        self._on_made(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next read goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come; past the high mark the socket is not read any more."""
        if self._closed:
            return
        self._chunks.append(bytes(memoryview(self._buffer)[:nbytes]))
        self._unread += nbytes
        if self._unread > READ_HIGH_BYTES and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        """The peer has ended its direction; ours stays open."""
        self._ended = True
        self._wake_reader()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if not self._ended and not self._closed:
            self._broken = exc or ConnectionResetError("connection lost")
        self._ended = True
        self._transport = None
        if self._linger is not None:
            self._linger.cancel()
        self._wake_reader()
        self._wake_drainers()
        if not self.lost.done():
            self.lost.set_result(None)
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The queue is long."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The queue is short again."""
        self._writing_paused = False
        self._wake_drainers()

    # --- the contract's side ---

    async def read(self, max_bytes: int) -> bytes:
        """Some bytes, empty at the end. TransportError when the connection broke before its end."""
        while not self._chunks:
            if self._ended or self._closed:
                self._raise_if_broken()
                return b""
            await self._wait_for_bytes()
        return self._take(max_bytes)

    async def read_exactly(self, count: int) -> bytes:
        """Exactly `count` bytes, or StreamClosedError."""
        if count <= 0:
            return b""
        pieces: list[bytes] = []
        missing = count
        while missing:
            while not self._chunks:
                if self._ended or self._closed:
                    self._raise_if_broken()
                    raise StreamClosedError(f"{self.peer} closed the stream {missing} bytes short of {count}")
                await self._wait_for_bytes()
            piece = self._take(missing)
            if len(piece) == count:
                return piece
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def write(self, data: bytes) -> None:
        """Queue bytes; lost without a word once the stream is closed (`drain` tells)."""
        if self._transport is not None and not self._closed and not self._write_ended and data:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the queue is short. Raises TransportError when the bytes will never be sent."""
        while True:
            if self._closed or self._transport is None or self._transport.is_closing():
                raise TransportError(f"connection to {self.peer} is closed: {self._broken or 'closed here'}")
            if not self._writing_paused:
                return
            waiter = self._loop.create_future()
            self._drainers.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._drainers:
                    self._drainers.remove(waiter)

    def close_write(self) -> None:
        """End our direction after what is queued."""
        if self._transport is not None and not self._closed and not self._write_ended:
            self._write_ended = True
            try:
                self._transport.write_eof()
            except (OSError, RuntimeError):
                return  # the peer was faster; connection_lost is on its way

    def close(self) -> None:
        """Close after what is queued, which gets LINGER_S to leave."""
        if self._closed:
            return
        self._closed = True
        self._chunks.clear()
        self._unread = 0
        if self._transport is not None:
            self._transport.close()
            self._linger = self._loop.call_later(LINGER_S, self.abort)
        self._wake_reader()
        self._wake_drainers()

    def abort(self) -> None:
        """Close at once; what is queued is lost."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    # --- inside ---

    def _take(self, max_bytes: int) -> bytes:
        chunk = self._chunks[0]
        if len(chunk) <= max_bytes:
            self._chunks.popleft()
        else:
            self._chunks[0] = chunk[max_bytes:]
            chunk = chunk[:max_bytes]
        self._unread -= len(chunk)
        if self._reading_paused and self._unread <= READ_HIGH_BYTES // 2:
            self._reading_paused = False
            if self._transport is not None and not self._closed:
                self._transport.resume_reading()
        return chunk

    async def _wait_for_bytes(self) -> None:
        if self._reader is not None:
            raise RuntimeError("a stream is read by one task at a time")
        self._reader = self._loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake_drainers(self) -> None:
        for waiter in self._drainers:
            if not waiter.done():
                waiter.set_result(None)

    def _raise_if_broken(self) -> None:
        if self._broken is not None:
            raise TransportError(f"connection to {self.peer} broke: {self._broken}") from self._broken


async def close_all(streams: Collection[TcpStream], *, within_s: float) -> None:
    """Close streams and wait until their sockets are gone; what is still queued after `within_s` is lost."""
    if not streams:
        return
    lost = [stream.lost for stream in streams]
    for stream in streams:
        stream.close()
    _, late = await asyncio.wait(lost, timeout=within_s)
    if late:
        for stream in list(streams):
            stream.abort()
        await asyncio.wait(lost, timeout=within_s)
