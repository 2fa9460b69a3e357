"""The server port: whoever connects says with a first byte what they want (Consul's `pool.RPCType`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from consul_kernel.contracts.consensus import LogPosition
from consul_kernel.contracts.errors import ConsulKernelError, TransportError
from consul_kernel.contracts.transport import Stream
from consul_kernel.structs.methods import Route
from consul_kernel.structs.settings import LimitSettings

from .bounds import Complaints, PendingRequests, Tally, UnreadReplies
from .call_stream import READ_BYTES
from .endpoints import Dispatch, EndpointTable
from .errors import WireError
from .latest import LatestReplies
from .wire import MessageReader, RequestHeader, decode, encode, encode_error, encode_response
from .yamux import YamuxSession
from .yamux_settings import DEFAULT_SETTINGS, YamuxSettings
from .yamux_stream import YamuxStream

_log = logging.getLogger(__name__)

BYTE_CONSUL = 0
BYTE_RAFT = 1
BYTE_MULTIPLEX = 4
BYTE_SNAPSHOT = 5

MAX_REQUEST_BYTES = 16 * 1024 * 1024
REQUEST_TIMEOUT_MS = 60_000
"""How long a request may take to arrive, from its first byte."""
UNCOUNTED_BYTES = 1024
"""What is less on a stream, such as a request of usual length behind its header, is not worth the books."""
REPLY_TIMEOUT_MS = 60_000
"""How long a peer may leave a reply unread on a connection without yamux before it is closed."""
MAX_STREAMS = 131_072
MAX_STREAMS_PER_HOST = 65_536
"""Streams that are served at once, those of blocking queries among them; more are reset."""

INTERNAL_ERROR = "internal error"


class RpcServer:
    """Serves connections to the server port.

    Garbage, silence and broken connections end one connection or one stream; they are logged at most.
    """

    def __init__(
        self,
        endpoints: EndpointTable,
        dispatch: Dispatch,
        *,
        consensus_serve: Callable[[Stream], Awaitable[None]] | None = None,
        snapshot_serve: Callable[[Stream], Awaitable[None]] | None = None,
        limits: LimitSettings | None = None,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        pending: PendingRequests | None = None,
        unread: UnreadReplies | None = None,
        settings: YamuxSettings = DEFAULT_SETTINGS,
        applied: Callable[[], LogPosition | None] | None = None,
    ) -> None:
        """`dispatch` carries a call out (`Router.call`); `consensus_serve` takes connections of the quorum,

        `snapshot_serve` those on which an archive is sent.

        `applied` says how far this server has applied the log, which whoever forwarded a write is told.

        One request has at most `max_request_bytes`; `pending` and `unread` bound all of them and their replies.
        """
        self._endpoints = endpoints
        self._dispatch = dispatch
        self._consensus_serve = consensus_serve
        self._snapshot_serve = snapshot_serve
        self.limits = limits or LimitSettings()
        """What new connections are held to; may be replaced."""
        self._max_request_bytes = max_request_bytes
        self._pending = pending or PendingRequests()
        self._unread = unread or UnreadReplies()
        self._settings = settings
        self._applied = applied
        self._complaints = Complaints(_log)
        self._latest = LatestReplies()
        self.accepted = 0
        """Connections that came."""
        self.requests = 0
        self.errors = 0
        """Requests that were answered with an error."""
        self.handed_over = 0
        """Connections of the quorum."""
        self._connections = Tally()
        self._streams = Tally()

    async def serve(self, stream: Stream) -> None:
        """Serve one accepted connection until it ends; given to `Transport.listen`."""
        host = stream.peer.host
        self.accepted += 1
        limit = self.limits.rpc_max_conns_per_client
        if 0 < limit <= self._connections.of(host):
            self._complaints.warn("%s has %d connections to the server port, closing one more", host, limit)
            stream.close()
            return
        self._connections.add(host)
        try:
            await self._serve_by_first_byte(stream)
        except TransportError as error:
            _log.debug("connection from %s ended: %s", stream.peer, error)
        finally:
            stream.close()
            self._connections.remove(host)

    async def _serve_by_first_byte(self, stream: Stream) -> None:
        try:
            async with asyncio.timeout(self.limits.rpc_handshake_timeout_ms / 1000):
                first = (await stream.read_exactly(1))[0]
        except TimeoutError:
            _log.debug("%s connected and said nothing", stream.peer)
            return
        if first == BYTE_MULTIPLEX:
            await self._serve_session(stream)
        elif first == BYTE_CONSUL:
            await self._serve_calls(stream)
        elif first == BYTE_RAFT and self._consensus_serve is not None:
            self.handed_over += 1
            await self._consensus_serve(stream)
        elif first == BYTE_SNAPSHOT and self._snapshot_serve is not None:
            await self._snapshot_serve(stream)
        else:
            self._complaints.warn("%s asked for protocol %d, which is not spoken here", stream.peer, first)

    async def _serve_session(self, stream: Stream) -> None:
        session = YamuxSession(stream, is_client=False, settings=self._settings)
        session.start()
        host = stream.peer.host
        tasks: set[asyncio.Task[None]] = set()

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            self._streams.remove(host)

        try:
            while True:
                accepted = await session.accept()
                if self._has_too_many_streams(host):
                    accepted.reset("too many streams")
                    continue
                task = asyncio.get_running_loop().create_task(self._serve_stream(accepted))
                accepted.on_gone = task.cancel  # type: ignore[assignment]
                tasks.add(task)
                self._streams.add(host)
                task.add_done_callback(ended)
        finally:
            for task in tasks:
                task.cancel()
            await session.aclose()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _has_too_many_streams(self, host: str) -> bool:
        if self._streams.of(host) < MAX_STREAMS_PER_HOST and self._streams.total < MAX_STREAMS:
            return False
        self._complaints.warn("%s has %d streams to the server port, resetting one more", host, self._streams.of(host))
        return True

    async def _serve_stream(self, stream: YamuxStream) -> None:
        try:
            await self._serve_calls(stream)
        except TransportError as error:
            _log.debug("stream from %s ended: %s", stream.peer, error)
        except Exception:  # noqa: BLE001 - one stream's fault must not end the others
            _log.exception("serving a stream from %s failed", stream.peer)
        finally:
            stream.on_gone = None
            stream.close()

    async def _serve_calls(self, stream: Stream) -> None:
        """Answer calls strictly one after the other, as net/rpc does, until the peer ends or errs."""
        requests = _Requests(stream, self._max_request_bytes, self._pending)
        unread, host = self._unread, stream.peer.host
        name, sequence = "", 0
        try:
            while (message := await requests.next()) is not None:
                header: RequestHeader = decode(RequestHeader, message)
                name, sequence = header.service_method, header.seq
                body = await requests.next()
                if body is None:
                    return
                if unread.held and unread.is_full(host):
                    await unread.wait_for_room(host)
                requests.begin(len(body))
                encode_answer, goes_on = await self._answer(header, body)
                del body
                requests.end()
                if unread.held and unread.is_full(host):
                    await unread.wait_for_room(host)
                await self._send(stream, encode_answer())
                if not goes_on:
                    return
        except WireError as error:
            self._complaints.warn("bad request from %s: %s", stream.peer, error)
            await self._send(stream, encode_error(sequence, name, f"rpc: {error}"))
        finally:
            requests.close()

    async def _answer(self, header: RequestHeader, body: bytes) -> tuple[Callable[[], bytes], bool]:
        """What encodes the answer, and whether the stream goes on after it."""
        sequence, name = header.seq, header.service_method
        self.requests += 1
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            self.errors += 1
            return partial(encode_error, sequence, name, self._endpoints.explain_missing(name)), False
        request = decode(endpoint.method.request, body)
        try:
            reply = await self._dispatch(endpoint.method, request)
            applied = self._applied() if self._applied and endpoint.method.route is Route.WRITE else None
            return partial(self._encode_reply, sequence, name, reply, applied), True
        except ConsulKernelError as error:
            self.errors += 1
            return partial(encode_error, sequence, name, str(error)), True
        except Exception:  # noqa: BLE001 - the caller gets an answer, the log the cause
            self.errors += 1
            _log.exception("%s failed", name)
            return partial(encode_error, sequence, name, INTERNAL_ERROR), True

    def _encode_reply(self, sequence: int, name: str, reply: object, applied: LogPosition | None) -> bytes:
        try:
            return encode_response(sequence, name, self._latest.encoded(name, reply, encode), applied)
        except Exception:  # noqa: BLE001 - the caller gets an answer, the log the cause
            _log.exception("the reply of %s cannot be encoded", name)
            return encode_error(sequence, name, INTERNAL_ERROR)

    async def _send(self, stream: Stream, answer: bytes) -> None:
        host, size = stream.peer.host, len(answer)
        self._unread.add(host, size)
        try:
            stream.write(answer)
            del answer
            if isinstance(stream, YamuxStream):
                await stream.drain()  # it has a patience of its own
                return
            async with asyncio.timeout(REPLY_TIMEOUT_MS / 1000):
                await stream.drain()
        except TimeoutError as error:
            raise TransportError(f"{stream.peer} does not read its reply") from error
        finally:
            self._unread.remove(host, size)


class _Requests:
    """Messages of one stream. What came and was not carried out yet counts against bounds that all streams share."""

    def __init__(self, stream: Stream, limit: int, pending: PendingRequests) -> None:
        self._stream = stream
        self._host = stream.peer.host
        self._messages = MessageReader(limit)
        self._pending = pending
        self._held = 0
        self._begun = 0
        self._patience: asyncio.TimerHandle | None = None

    async def next(self) -> bytes | None:
        """The next message, or None at the end of the stream. Raises WireError when it is too long to take."""
        message = self._messages.next()
        while message is None:
            if not self._messages.is_empty:
                self._wait_for_rest()
            data = await self._stream.read(READ_BYTES)
            if not data:
                return None
            self._messages.feed(data)
            message = self._messages.next()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._held > self._messages.buffered_bytes:
            self._count()
        return message

    def begin(self, size: int) -> None:
        """A request of this size is about to be carried out. Raises WireError where it is too much, or too much waits

        behind it.
        """
        self._count()
        if size >= UNCOUNTED_BYTES:
            self._pending.take(self._host, size)
            self._begun = size

    def end(self) -> None:
        """It was."""
        if self._begun:
            self._pending.take(self._host, -self._begun)
            self._begun = 0

    def close(self) -> None:
        """Nothing more is read."""
        self.end()
        self._pending.take(self._host, -self._held)
        self._held = 0
        if self._patience is not None:
            self._patience.cancel()

    def _wait_for_rest(self) -> None:
        """The beginning of a message is here: it counts, and has its time."""
        self._count()
        if self._patience is None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(REQUEST_TIMEOUT_MS / 1000, self._give_up)

    def _count(self) -> None:
        buffered = self._messages.buffered_bytes
        if buffered < UNCOUNTED_BYTES:
            buffered = 0
        if buffered != self._held:
            self._pending.take(self._host, buffered - self._held)
            self._held = buffered

    def _give_up(self) -> None:
        """The rest of a request did not come: whoever waits for it finds the stream at its end."""
        _log.debug("a request from %s did not arrive within %d s", self._stream.peer, REQUEST_TIMEOUT_MS // 1000)
        if isinstance(self._stream, YamuxStream):
            self._stream.reset("the request did not arrive in time")
        else:
            self._stream.close()
