"""The server port: whoever connects says with a first byte what they want (Consul's `pool.RPCType`)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from consul_kernel.contracts.errors import ConsulKernelError, TransportError
from consul_kernel.contracts.transport import Stream
from consul_kernel.structs.settings import LimitSettings

from .call_stream import READ_BYTES
from .endpoints import Dispatch, EndpointTable
from .errors import WireError
from .wire import MessageReader, RequestHeader, decode, encode_error, encode_response
from .yamux import YamuxSession
from .yamux_settings import DEFAULT_SETTINGS, YamuxSettings
from .yamux_stream import YamuxStream

_log = logging.getLogger(__name__)

BYTE_CONSUL = 0
BYTE_RAFT = 1
BYTE_MULTIPLEX = 4

MAX_REQUEST_BYTES = 16 * 1024 * 1024
MAX_UNFINISHED_BYTES = 128 * 1024 * 1024
"""What requests that are still arriving may hold in all; a stream that needs more is refused."""
REPLY_TIMEOUT_MS = 60_000
"""How long a peer may leave a reply unread on a connection without yamux before it is closed."""

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
        limits: LimitSettings | None = None,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        max_unfinished_bytes: int = MAX_UNFINISHED_BYTES,
        settings: YamuxSettings = DEFAULT_SETTINGS,
    ) -> None:
        """`dispatch` carries a call out (`Router.call`); `consensus_serve` takes connections of the quorum.

        One request has at most `max_request_bytes`, all that are still arriving `max_unfinished_bytes`.
        """
        self._endpoints = endpoints
        self._dispatch = dispatch
        self._consensus_serve = consensus_serve
        self._limits = limits or LimitSettings()
        self._max_request_bytes = max_request_bytes
        self._budget = _Budget(max_unfinished_bytes)
        self._settings = settings
        self._connections: Counter[str] = Counter()

    async def serve(self, stream: Stream) -> None:
        """Serve one accepted connection until it ends; given to `Transport.listen`."""
        host = stream.peer.host
        if self._connections[host] >= self._limits.rpc_max_conns_per_client:
            _log.warning("%s has %d connections to the server port, closing one more", host, self._connections[host])
            stream.close()
            return
        self._connections[host] += 1
        try:
            await self._serve_by_first_byte(stream)
        except TransportError as error:
            _log.debug("connection from %s ended: %s", stream.peer, error)
        finally:
            stream.close()
            self._connections[host] -= 1
            if not self._connections[host]:
                del self._connections[host]

    async def _serve_by_first_byte(self, stream: Stream) -> None:
        try:
            async with asyncio.timeout(self._limits.rpc_handshake_timeout_ms / 1000):
                first = (await stream.read_exactly(1))[0]
        except TimeoutError:
            _log.debug("%s connected and said nothing", stream.peer)
            return
        if first == BYTE_MULTIPLEX:
            await self._serve_session(stream)
        elif first == BYTE_CONSUL:
            await self._serve_calls(stream)
        elif first == BYTE_RAFT and self._consensus_serve is not None:
            await self._consensus_serve(stream)
        else:
            _log.warning("%s asked for protocol %d, which is not spoken here", stream.peer, first)

    async def _serve_session(self, stream: Stream) -> None:
        session = YamuxSession(stream, is_client=False, settings=self._settings)
        session.start()
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                accepted = await session.accept()
                task = asyncio.get_running_loop().create_task(self._serve_stream(accepted))
                accepted.on_gone = task.cancel  # type: ignore[assignment]
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            for task in tasks:
                task.cancel()
            await session.aclose()
            await asyncio.gather(*tasks, return_exceptions=True)

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
        requests = _Requests(stream, self._max_request_bytes, self._budget)
        name, sequence = "", 0
        try:
            while (message := await requests.next()) is not None:
                header: RequestHeader = decode(RequestHeader, message)
                name, sequence = header.service_method, header.seq
                body = await requests.next()
                if body is None:
                    return
                answer, goes_on = await self._answer(header, body)
                await self._send(stream, answer)
                if not goes_on:
                    return
        except WireError as error:
            _log.warning("bad request from %s: %s", stream.peer, error)
            await self._send(stream, encode_error(sequence, name, f"rpc: {error}"))

    async def _answer(self, header: RequestHeader, body: bytes) -> tuple[bytes, bool]:
        """The bytes of the answer, and whether the stream goes on after it."""
        sequence, name = header.seq, header.service_method
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            return encode_error(sequence, name, self._endpoints.explain_missing(name)), False
        request = decode(endpoint.method.request, body)
        try:
            reply = await self._dispatch(endpoint.method, request)
            return encode_response(sequence, name, reply), True
        except ConsulKernelError as error:
            return encode_error(sequence, name, str(error)), True
        except Exception:  # noqa: BLE001 - the caller gets an answer, the log the cause
            _log.exception("%s failed", name)
            return encode_error(sequence, name, INTERNAL_ERROR), True

    async def _send(self, stream: Stream, answer: bytes) -> None:
        stream.write(answer)
        if isinstance(stream, YamuxStream):
            await stream.drain()  # it has a patience of its own
            return
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_MS / 1000):
                await stream.drain()
        except TimeoutError as error:
            raise TransportError(f"{stream.peer} does not read its reply") from error


class _Requests:
    """Messages of one stream. What is still incomplete counts against a budget that all streams share."""

    def __init__(self, stream: Stream, limit: int, budget: _Budget) -> None:
        self._stream = stream
        self._messages = MessageReader(limit)
        self._budget = budget

    async def next(self) -> bytes | None:
        """The next message, or None at the end of the stream. Raises WireError when it is too long to take."""
        message = self._messages.next()
        if message is not None:
            return message
        held = 0
        try:
            while message is None:
                data = await self._stream.read(READ_BYTES)
                if not data:
                    return None
                self._messages.feed(data)
                message = self._messages.next()
                self._budget.take(self._messages.buffered_bytes - held)
                held = self._messages.buffered_bytes
            return message
        finally:
            self._budget.take(-held)


class _Budget:
    """Bytes that unfinished requests may hold in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def take(self, amount: int) -> None:
        """Take bytes, or give some back. Raises WireError, and takes nothing, where there are not enough."""
        if amount > 0 and self.held + amount > self._limit:
            raise WireError(f"unfinished requests hold more than {self._limit} bytes")
        self.held += amount
