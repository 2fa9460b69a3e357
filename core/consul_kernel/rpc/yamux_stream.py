"""One stream of a yamux session, as the contract's `Stream`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from consul_kernel.contracts.errors import StreamClosedError, TransportError
from consul_kernel.contracts.transport import Address

from .yamux_frames import DATA, FIN, RST, WINDOW_BYTES, WINDOW_GRANT_BYTES, WINDOW_UPDATE, header


class StreamHost(Protocol):
    """What a stream asks of its session."""

    @property
    def peer(self) -> Address:
        """The other end of the connection."""
        ...

    @property
    def drain_timeout_ms(self) -> int:
        """How long a peer may grant no window to a stream that has something to send."""
        ...

    def send(self, frame: bytes) -> None:
        """Queue bytes for the connection."""
        ...

    def send_control(self, frame: bytes) -> None:
        """Queue a frame that a peer can cause as often as it likes."""
        ...

    def consumed(self, count: int) -> None:
        """Bytes that came were read, or are not wanted any more."""
        ...

    async def drain(self) -> None:
        """Wait until the connection's queue is short."""
        ...

    def check_peer(self) -> None:
        """See whether the peer is still there."""
        ...

    def forget(self, stream_id: int) -> None:
        """The stream is over in both directions."""
        ...

    def linger(self, stream: YamuxStream) -> None:
        """Our end is closed, the peer's is not yet."""
        ...


class YamuxStream:
    """A stream. Memory is bounded by windows: WINDOW_BYTES of what came, and what `drain` lets be queued."""

    __slots__ = (
        "_chunks",
        "_consumed",
        "_credit",
        "_drainer",
        "_ended",
        "_error",
        "_pending",
        "_reader",
        "_session",
        "_write_ended",
        "acknowledged",
        "id",
        "is_closed",
        "on_gone",
        "opened_at",
        "receive_window",
    )

    def __init__(self, session: StreamHost, stream_id: int, opened_at: float) -> None:
        self._session = session
        self.id = stream_id
        self.opened_at = opened_at
        self.acknowledged = False
        self.is_closed = False
        self.on_gone: Callable[[], None] | None = None
        """Called once when the peer resets the stream or the session dies: nobody waits for an answer any more."""
        self.receive_window = WINDOW_BYTES
        self._credit = WINDOW_BYTES
        self._consumed = 0
        self._chunks: deque[bytes] = deque()
        self._pending: deque[memoryview] = deque()
        self._ended = False
        self._write_ended = False
        self._error: TransportError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._drainer: asyncio.Future[None] | None = None

    @property
    def peer(self) -> Address:
        """The other end of the connection that the stream is part of."""
        return self._session.peer

    @property
    def is_usable(self) -> bool:
        """Whether neither end has closed it and nothing waits in it."""
        return not (self.is_closed or self._ended or self._write_ended or self._error or self._chunks)

    # --- the contract ---

    async def read(self, max_bytes: int) -> bytes:
        """Some bytes; empty at the end. TransportError when it was reset or the session broke."""
        if not self._chunks:
            await self._wait_for_bytes()
        return self._take(max_bytes) if self._chunks else b""

    async def read_exactly(self, count: int) -> bytes:
        """Exactly `count` bytes, or StreamClosedError."""
        pieces: list[bytes] = []
        missing = count
        while missing > 0:
            if not self._chunks:
                await self._wait_for_bytes()
            if not self._chunks:
                raise StreamClosedError(f"{self.peer} closed the stream {missing} bytes short of {count}")
            pieces.append(self._take(missing))
            missing -= len(pieces[-1])
        return b"".join(pieces)

    def write(self, data: bytes) -> None:
        """Send what the peer's window allows, keep the rest."""
        if not data or self._write_ended or self.is_closed or self._error is not None:
            return
        if not self._pending and len(data) <= self._credit:
            self._credit -= len(data)
            self._session.send(header(DATA, 0, self.id, len(data)) + data)
        else:
            self._pending.append(memoryview(data))
            self._flush()

    async def drain(self) -> None:
        """Wait until the peer has granted what is queued and the connection has taken it.

        A peer that grants nothing for the session's `drain_timeout_ms` has the stream reset: TransportError.
        """
        while True:
            if self._error is not None:
                raise self._error
            if self.is_closed:
                raise TransportError(f"stream to {self.peer} is closed")
            if not self._pending:
                break
            if self._drainer is not None:
                raise RuntimeError("a stream is written by one task at a time")
            loop = asyncio.get_running_loop()
            self._drainer = loop.create_future()
            patience = loop.call_later(self._session.drain_timeout_ms / 1000, self.reset, f"{self.peer} does not read")
            try:
                await self._drainer
            finally:
                patience.cancel()
                self._drainer = None
        await self._session.drain()

    def close_write(self) -> None:
        """Half-close after what is queued."""
        if not (self._write_ended or self.is_closed or self._error):
            self._write_ended = True
            self._flush()

    def close(self) -> None:
        """Close both directions after what is queued."""
        if self.is_closed:
            return
        self.close_write()
        self.is_closed = True
        self._drop_unread()
        self._wake()
        if self._error is None:
            if self._ended and not self._pending:
                self._session.forget(self.id)
            else:
                self._session.linger(self)

    def check_peer(self) -> None:
        """Somebody has waited for long: see whether the peer is still there. If not, every stream to it breaks."""
        self._session.check_peer()

    def reset(self, reason: str = "stream was reset here") -> None:
        """Kill the stream at both ends at once: what comes on it is not wanted any more.

        Whoever waits on it gets a TransportError with the reason.
        """
        if self._error is None and not (self.is_closed and self._ended and not self._pending):
            self._session.send_control(header(WINDOW_UPDATE, RST, self.id, 0))
            self._session.forget(self.id)
            self._break(TransportError(reason))
        self.is_closed = True
        self._drop_unread()

    # --- the session's side ---

    def receive(self, piece: bytes) -> bool:
        """Bytes within the window, which the session has checked; whether they are kept until they are read."""
        if self.is_closed or self._error is not None:
            return False
        self._chunks.append(piece)
        if self._reader is not None:
            self._wake_reader()
        return True

    def receive_credit(self, amount: int) -> None:
        """The peer has consumed bytes."""
        self._credit += amount
        if self._pending:
            self._flush()

    def receive_end(self) -> None:
        """The peer half-closed."""
        self._ended = True
        self._wake_reader()
        if self.is_closed and not self._pending:
            self._session.forget(self.id)

    def fail(self, error: TransportError) -> None:
        """The peer reset the stream, or the session died."""
        if self._error is None:
            self._break(error)
            if self.on_gone is not None:
                self.on_gone()

    # --- inside ---

    def _flush(self) -> None:
        pending = self._pending
        while pending and self._credit > 0:
            piece = pending[0]
            if len(piece) <= self._credit:
                pending.popleft()
            else:
                pending[0] = piece[self._credit :]
                piece = piece[: self._credit]
            self._credit -= len(piece)
            self._session.send(header(DATA, 0, self.id, len(piece)) + bytes(piece))
        if pending:
            return
        if self._write_ended:
            self._session.send_control(header(WINDOW_UPDATE, FIN, self.id, 0))
            if self.is_closed and self._ended:
                self._session.forget(self.id)
        if self._drainer is not None and not self._drainer.done():
            self._drainer.set_result(None)

    def _take(self, max_bytes: int) -> bytes:
        chunk = self._chunks[0]
        if len(chunk) <= max_bytes:
            self._chunks.popleft()
        else:
            self._chunks[0] = chunk[max_bytes:]
            chunk = chunk[:max_bytes]
        self._session.consumed(len(chunk))
        self._consumed += len(chunk)
        if self._consumed >= WINDOW_GRANT_BYTES and not self._ended and self._error is None:
            self.receive_window += self._consumed
            self._session.send(header(WINDOW_UPDATE, 0, self.id, self._consumed))
            self._consumed = 0
        return chunk

    async def _wait_for_bytes(self) -> None:
        while not (self._chunks or self._ended):
            if self._error is not None:
                raise self._error
            if self.is_closed:
                return
            if self._reader is not None:
                raise RuntimeError("a stream is read by one task at a time")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def _break(self, error: TransportError) -> None:
        self._error = error
        self._pending.clear()
        self._wake()

    def _drop_unread(self) -> None:
        self._session.consumed(sum(map(len, self._chunks)))
        self._chunks.clear()

    def _wake(self) -> None:
        self._wake_reader()
        if self._drainer is not None and not self._drainer.done():
            self._drainer.set_result(None)

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
