"""A yamux session: many streams over one connection (hashicorp/yamux, spec.md).

Windows bound what a peer may send; everything it sends that breaks the protocol ends the session with a
go-away frame, and harms nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from consul_kernel.contracts.errors import PeerProtocolError, StreamClosedError, TransportError
from consul_kernel.contracts.transport import Address, Stream

from .yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    GO_AWAY_NORMAL,
    GO_AWAY_PROTOCOL_ERROR,
    HEADER,
    HEADER_BYTES,
    LAST_STREAM_ID,
    PING,
    RST,
    SYN,
    VERSION,
    WINDOW_UPDATE,
    header,
)
from .yamux_keepalive import KeepAlive
from .yamux_settings import DEFAULT_SETTINGS, YamuxSettings
from .yamux_stream import YamuxStream

_log = logging.getLogger(__name__)

_READ_BYTES = 256 * 1024
_FLUSH_BYTES = 64 * 1024
_CONTROL_FRAMES_BEFORE_DRAIN = 256
_CONTROL_FRAMES_MAX = 8192


class YamuxSession:
    """One end of a session over `connection`, which belongs to it from then on."""

    def __init__(self, connection: Stream, *, is_client: bool, settings: YamuxSettings = DEFAULT_SETTINGS) -> None:
        """`is_client`: whether this end dialled. Call `start` before anything else."""
        self._connection = connection
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._next_id = 1 if is_client else 2
        self._peer_parity = 0 if is_client else 1
        self._streams: dict[int, YamuxStream] = {}
        self._unacknowledged: dict[int, YamuxStream] = {}
        self._lingering: dict[int, float] = {}
        self._backlog: deque[YamuxStream] = deque()
        self._room_waiters: dict[asyncio.Future[None], None] = {}
        self._acceptor: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._error: TransportError | None = None
        self._peer_went_away = False
        self._keepalive = KeepAlive(settings, self.peer, send=self.send, look=self._look, end=self._end)
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flush_due = False
        self._drain_lock = asyncio.Lock()
        self._unread = 0
        self._control_frames = 0
        self._control_drain: asyncio.Task[None] | None = None
        self._rest = b""
        self._data_stream: YamuxStream | None = None
        self._data_left = 0
        self._data_flags = 0

    def start(self) -> None:
        """Begin to read, and to ping."""
        self._tasks = [self._loop.create_task(self._read_frames()), self._loop.create_task(self._keepalive.run())]

    @property
    def peer(self) -> Address:
        """The other end of the connection."""
        return self._connection.peer

    @property
    def drain_timeout_ms(self) -> int:
        """How long a peer may grant no window to a stream that has something to send."""
        return self._settings.drain_timeout_ms

    @property
    def is_open(self) -> bool:
        """Whether streams can still be opened."""
        return self._error is None and not self._peer_went_away and self._next_id <= LAST_STREAM_ID

    @property
    def stream_count(self) -> int:
        """Live streams, half-closed ones included."""
        return len(self._streams)

    @property
    def has_room(self) -> bool:
        """Whether a stream can be opened at once: the peer resets those beyond its backlog."""
        return len(self._unacknowledged) < self._settings.accept_backlog

    async def wait_for_room(self) -> None:
        """Wait for one's turn: there was room a moment ago, `wake_next` was called, or the session is over.

        Who is woken looks again, and calls `wake_next` where something is left for the next in line. Raises
        TransportError when too many wait already.
        """
        if len(self._room_waiters) >= self._settings.max_streams:
            raise TransportError(f"too many streams to {self.peer}")
        waiter = self._loop.create_future()
        self._room_waiters[waiter] = None
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter not in self._room_waiters:
                self.wake_next()  # it was this one's turn already
            self._room_waiters.pop(waiter, None)
            raise

    def wake_next(self) -> None:
        """End the wait of whoever has waited for room longest."""
        while self._room_waiters:
            waiter = next(iter(self._room_waiters))
            del self._room_waiters[waiter]
            if not waiter.done():
                waiter.set_result(None)
                return

    def open_stream(self) -> YamuxStream:
        """Open a stream; the peer's consent is not waited for. Raises TransportError when there can be none."""
        if not self.is_open:
            raise self._error or TransportError(f"session with {self.peer} takes no more streams")
        if not self.has_room or len(self._streams) >= self._settings.max_streams:
            raise TransportError(f"too many streams to {self.peer}")
        stream = YamuxStream(self, self._next_id, self._loop.time())
        self._next_id += 2
        self._streams[stream.id] = stream
        self._unacknowledged[stream.id] = stream
        self.send(header(WINDOW_UPDATE, SYN, stream.id, 0))
        return stream

    async def accept(self) -> YamuxStream:
        """The next stream that the peer opened. Raises TransportError when the session is over."""
        while not self._backlog:
            if self._error is not None:
                raise self._error
            self._acceptor = self._loop.create_future()
            try:
                await self._acceptor
            finally:
                self._acceptor = None
        stream = self._backlog.popleft()
        stream.acknowledged = True
        self.send_control(header(WINDOW_UPDATE, ACK, stream.id, 0))
        return stream

    async def aclose(self) -> None:
        """Say goodbye and end; streams break. Idempotent."""
        if self._error is None:
            self.send(header(GO_AWAY, 0, 0, GO_AWAY_NORMAL))
            self._end(TransportError(f"session with {self.peer} was closed here"))
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- for streams ---

    def send(self, frame: bytes) -> None:
        """Queue bytes. What is sent during one turn of the event loop leaves in one piece."""
        if self._error is not None:
            return
        self._out.append(frame)
        self._out_bytes += len(frame)
        if self._out_bytes >= _FLUSH_BYTES:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def send_control(self, frame: bytes) -> None:
        """Queue a frame that a peer has caused, without waiting for it; the session of one that reads none ends."""
        self.send(frame)
        self._control_frames += 1
        if self._control_frames > _CONTROL_FRAMES_MAX:
            self._end(TransportError(f"{self.peer} does not read what it asks for"))
        elif self._control_frames > _CONTROL_FRAMES_BEFORE_DRAIN and self._control_drain is None:
            self._control_drain = self._loop.create_task(self._drain_control())
            self._tasks.append(self._control_drain)

    def consumed(self, count: int) -> None:
        """Bytes that came were read, or are not wanted any more."""
        self._unread -= count

    async def drain(self) -> None:
        """Wait until the connection takes more."""
        if self._error is not None:
            raise self._error
        async with self._drain_lock:
            await self._connection.drain()

    def forget(self, stream_id: int) -> None:
        """A stream is over."""
        self._streams.pop(stream_id, None)
        self._lingering.pop(stream_id, None)
        self._settle(stream_id)

    def linger(self, stream: YamuxStream) -> None:
        """A stream is closed here; its peer gets some time to do the same."""
        self._lingering[stream.id] = self._loop.time() + self._settings.close_timeout_ms / 1000

    def _settle(self, stream_id: int) -> None:
        """The peer has taken a stream, or it is over: there is room for another."""
        if self._unacknowledged.pop(stream_id, None) is not None:
            self.wake_next()

    def _reset_lingering(self) -> None:
        now = self._loop.time()
        for stream_id in [stream_id for stream_id, deadline in self._lingering.items() if deadline <= now]:
            self._streams[stream_id].reset()

    def _flush(self) -> None:
        self._flush_due = False
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._out_bytes = 0
            self._connection.write(data)

    # --- reading ---

    async def _read_frames(self) -> None:
        try:
            while data := await self._connection.read(_READ_BYTES):
                self._keepalive.reads += 1
                self._receive(data)
            raise StreamClosedError(f"{self.peer} closed the connection")
        except PeerProtocolError as error:
            _log.warning("yamux session with %s: %s", self.peer, error)
            self.send(header(GO_AWAY, 0, 0, GO_AWAY_PROTOCOL_ERROR))
            self._end(TransportError(f"{self.peer} broke the protocol: {error}"))
        except TransportError as error:
            self._end(error)

    def _receive(self, data: bytes) -> None:
        """Take bytes as they come; data is handed on in the pieces in which it comes."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        position, end = 0, len(data)
        while position < end:
            if self._data_left:
                piece = data[position : position + self._data_left]
                position += len(piece)
                self._receive_data(piece)
                continue
            if end - position < HEADER_BYTES:
                self._rest = data[position:]
                return
            version, kind, flags, stream_id, length = HEADER.unpack_from(data, position)
            position += HEADER_BYTES
            if version != VERSION:
                raise PeerProtocolError(f"version {version} is unknown")
            self._receive_header(kind, flags, stream_id, length)

    def _receive_header(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        if kind in (DATA, WINDOW_UPDATE):
            stream = self._find_stream(flags, stream_id)
            if kind == WINDOW_UPDATE:
                if stream is not None:
                    stream.receive_credit(length)
                    self._receive_flags(stream, flags)
                return
            if stream is not None:
                if length > stream.receive_window:
                    raise PeerProtocolError(f"stream {stream_id}: {length} bytes exceed the window")
                stream.receive_window -= length
            self._data_stream, self._data_left, self._data_flags = stream, length, flags
            if not length:
                self._end_data()
        elif kind == PING:
            self._receive_ping(flags, length)
        elif kind == GO_AWAY:
            self._peer_went_away = True
            self.wake_next()
            if length != GO_AWAY_NORMAL:
                raise TransportError(f"{self.peer} ended the session with code {length}")
        else:
            raise PeerProtocolError(f"frame type {kind} is unknown")

    def _receive_data(self, piece: bytes) -> None:
        self._data_left -= len(piece)
        if self._data_stream is not None and self._data_stream.receive(piece):
            self._unread += len(piece)
            if self._unread > self._settings.max_unread_bytes:
                raise TransportError(f"{self.peer} sends more than is read of it")
        if not self._data_left:
            self._end_data()

    def _end_data(self) -> None:
        if self._data_stream is not None:
            self._receive_flags(self._data_stream, self._data_flags)
            self._data_stream = None

    def _receive_flags(self, stream: YamuxStream, flags: int) -> None:
        if flags & ACK:
            stream.acknowledged = True
            self._settle(stream.id)
        if flags & RST:
            self.forget(stream.id)
            stream.fail(TransportError(f"{self.peer} reset the stream"))
        elif flags & FIN:
            stream.receive_end()

    def _find_stream(self, flags: int, stream_id: int) -> YamuxStream | None:
        """The stream that a frame is about; None for one that is over, or that was just refused."""
        if not flags & SYN:
            return self._streams.get(stream_id)
        if stream_id % 2 != self._peer_parity or stream_id == 0:
            raise PeerProtocolError(f"stream id {stream_id} is not the peer's to choose")
        if stream_id in self._streams:
            raise PeerProtocolError(f"stream {stream_id} was opened twice")
        if len(self._backlog) >= self._settings.accept_backlog or len(self._streams) >= self._settings.max_streams:
            self._answer(header(WINDOW_UPDATE, RST, stream_id, 0))
            return None
        stream = YamuxStream(self, stream_id, self._loop.time())
        self._streams[stream_id] = stream
        self._backlog.append(stream)
        if self._acceptor is not None and not self._acceptor.done():
            self._acceptor.set_result(None)
        return stream

    def _receive_ping(self, flags: int, opaque: int) -> None:
        if flags & SYN:
            self._answer(header(PING, ACK, 0, opaque))
        else:
            self._keepalive.receive_pong(opaque)

    def _answer(self, frame: bytes) -> None:
        """Send what a frame of the peer's asks for. Raises TransportError when it reads no answers."""
        self.send_control(frame)
        if self._error is not None:
            raise self._error

    async def _drain_control(self) -> None:
        try:
            async with asyncio.timeout(self._settings.write_timeout_ms / 1000):
                await self.drain()
        except (TransportError, TimeoutError):
            self._end(TransportError(f"{self.peer} does not read"))
        finally:
            self._control_frames = 0
            if self._control_drain is not None:
                self._tasks.remove(self._control_drain)
                self._control_drain = None

    # --- time ---

    def check_peer(self, timeout_ms: int | None = None) -> None:
        """Ping soon, if nothing was heard from the peer for a while; without an answer the session ends."""
        self._keepalive.check(timeout_ms)

    async def ping(self) -> None:
        """Ask for a sign of life and wait for it. One at a time; the keep-alive uses it."""
        await self._keepalive.ping()

    def _look(self) -> None:
        """What is looked after each time that a ping is due."""
        self._reset_lingering()
        oldest = next(iter(self._unacknowledged.values()), None)
        if oldest is not None and self._loop.time() - oldest.opened_at > self._settings.open_timeout_ms / 1000:
            self._end(TransportError(f"{self.peer} does not accept streams"))

    def _end(self, error: TransportError) -> None:
        """Close the connection and break every stream."""
        if self._error is not None:
            return
        self._flush()
        self._error = error
        self._connection.close()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        for stream in list(self._streams.values()):
            stream.fail(error)
        self._streams.clear()
        self._unacknowledged.clear()
        self._lingering.clear()
        self._backlog.clear()
        self._keepalive.stop(error)
        for waiter in (self._acceptor, *self._room_waiters):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
