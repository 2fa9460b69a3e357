"""Calls to servers over few connections: one for each address, shared by all callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from consul_kernel.contracts.consensus import LogPosition
from consul_kernel.contracts.errors import TransportError
from consul_kernel.contracts.transport import Address, Transport
from consul_kernel.structs.methods import Method

from .call_stream import CallStream
from .errors import CONNECT_PREFIX, RpcUnreachableError
from .latest import LatestReplies
from .wire import DEFAULT_MESSAGE_LIMIT
from .yamux import YamuxSession
from .yamux_settings import DEFAULT_SETTINGS, YamuxSettings

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

MULTIPLEX_BYTE = b"\x04"

MAX_CONNECTIONS = 512
IDLE_TIMEOUT_MS, MAX_IDLE_STREAMS = 120_000, 64
CLIENT_IDLE_TIMEOUT_MS, CLIENT_MAX_IDLE_STREAMS = 127_000, 32
"""A client agent's (Consul: `agent/consul/client.go`)."""
DIAL_TIMEOUT_MS = 10_000


class _Connection:
    """A session, the streams on it that wait for a next call, and how many calls are under way."""

    __slots__ = ("calls", "idle", "session", "unused_since")

    def __init__(self, session: YamuxSession, now: float) -> None:
        self.session = session
        self.idle: list[CallStream] = []
        self.calls = 0
        self.unused_since = now

    @property
    def has_stream(self) -> bool:
        """Whether a call can be made at once."""
        return bool(self.idle) or self.session.has_room

    def keep(self, stream: CallStream) -> None:
        """Keep a stream for the next call, and give it to whoever waits for one."""
        self.idle.append(stream)
        self.session.wake_next()


class ConnectionPool:
    """At most one connection for each server address; each call under way has a stream of its own.

    Streams that have finished a call are kept for the next one, at most `max_idle_streams`; a connection without
    calls is closed after `idle_timeout_ms`. At MAX_CONNECTIONS the one that was idle longest makes room.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        idle_timeout_ms: int = IDLE_TIMEOUT_MS,
        max_idle_streams: int = MAX_IDLE_STREAMS,
        dial_timeout_ms: int = DIAL_TIMEOUT_MS,
        reply_limit: int = DEFAULT_MESSAGE_LIMIT,
        settings: YamuxSettings = DEFAULT_SETTINGS,
    ) -> None:
        self._transport = transport
        self._idle_timeout_s = idle_timeout_ms / 1000
        self._max_idle_streams = max_idle_streams
        self._dial_timeout_ms = dial_timeout_ms
        self._reply_limit = reply_limit
        self._settings = settings
        self._latest = LatestReplies()
        self._connections: dict[Address, _Connection] = {}
        self._dialling: dict[Address, asyncio.Task[_Connection]] = {}
        self._retired: dict[_Connection, asyncio.Task[None]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def call(
        self,
        address: Address,
        method: Method[RequestT, ReplyT],
        request: RequestT,
        *,
        timeout_ms: float,
        connect_timeout_ms: float = DIAL_TIMEOUT_MS,
        on_applied: Callable[[LogPosition], None] | None = None,
    ) -> ReplyT:
        """Make a call and wait for the reply, at most `timeout_ms`, and `connect_timeout_ms` for a connection.

        `on_applied` is told how far the server had applied the log by then, where it says so.

        Raises RpcError with the remote endpoint's text, RpcUnreachableError when nothing was sent, RpcTransportError
        when the outcome is unknown.
        """
        connection = self._connections.get(address)
        if connection is None or not connection.session.is_open:
            connection = await self._connect(address, min(timeout_ms, connect_timeout_ms))
        if connection.has_stream:
            stream = self._take_stream(connection)
        else:
            stream = await self._await_stream(connection, timeout_ms)
        connection.calls += 1
        try:
            reply: ReplyT = await stream.call(method, request, timeout_ms)
            if on_applied is not None and stream.applied is not None:
                on_applied(stream.applied)
        finally:
            connection.calls -= 1
            connection.unused_since = asyncio.get_running_loop().time()
            if len(connection.idle) < self._max_idle_streams and stream.is_reusable:
                connection.keep(stream)
            else:
                stream.stream.close()
        return reply

    def check(self, address: Address, timeout_ms: int | None = None) -> None:
        """Make sure soon that the server of this address still answers; if not, the calls that wait for it fail.

        `timeout_ms`: how long the answer may take, if less than usual.
        """
        connection = self._connections.get(address)
        if connection is not None:
            connection.session.check_peer(timeout_ms)

    def _take_stream(self, connection: _Connection) -> CallStream:
        while connection.idle:
            stream = connection.idle.pop()
            if stream.is_reusable:
                return stream
            stream.stream.close()
        try:
            return CallStream(connection.session.open_stream(), self._reply_limit, self._latest)
        except TransportError as error:
            raise RpcUnreachableError(f"{CONNECT_PREFIX}{error}") from error

    async def _await_stream(self, connection: _Connection, timeout_ms: float) -> CallStream:
        session = connection.session
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while not connection.has_stream and session.is_open:
                    await session.wait_for_room()
        except TimeoutError as error:
            text = f"{CONNECT_PREFIX}{session.peer} accepts no stream within {timeout_ms:.0f} ms"
            raise RpcUnreachableError(text) from error
        except TransportError as error:
            raise RpcUnreachableError(f"{CONNECT_PREFIX}{error}") from error
        try:
            return self._take_stream(connection)
        finally:
            # One who was woken for new room may have taken a used stream: what is left is the next one's.
            if connection.has_stream or not session.is_open:
                session.wake_next()

    async def _connect(self, address: Address, timeout_ms: float) -> _Connection:
        """The connection to an address; whoever comes meanwhile waits for the same attempt."""
        task = self._dialling.get(address)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._dial(address))
            self._dialling[address] = task
            task.add_done_callback(lambda done: self._on_dialled(address, done))
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not self._closed or not task.cancelled():
                raise
            raise RpcUnreachableError(f"{CONNECT_PREFIX}the pool is closed") from None
        except TimeoutError as error:
            raise RpcUnreachableError(
                f"{CONNECT_PREFIX}no connection to {address} within {timeout_ms:.0f} ms"
            ) from error
        except TransportError as error:
            raise RpcUnreachableError(f"{CONNECT_PREFIX}{error}") from error

    async def _dial(self, address: Address) -> _Connection:
        self._make_room()
        stream = await self._transport.dial(address, timeout_ms=self._dial_timeout_ms)
        if self._closed:
            stream.close()
            raise TransportError("the pool is closed")
        stream.write(MULTIPLEX_BYTE)
        session = YamuxSession(stream, is_client=True, settings=self._settings)
        session.start()
        loop = asyncio.get_running_loop()
        connection = _Connection(session, loop.time())
        old = self._connections.pop(address, None)
        if old is not None:
            self._close_later(old)
        self._connections[address] = connection
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._idle_timeout_s / 4, self._sweep)
        return connection

    def _on_dialled(self, address: Address, task: asyncio.Task[_Connection]) -> None:
        del self._dialling[address]
        if not task.cancelled():
            task.exception()  # whoever waited has seen it; it may be that nobody does any more

    def _make_room(self) -> None:
        if self._closed:
            raise TransportError("the pool is closed")
        if len(self._connections) + len(self._dialling) <= MAX_CONNECTIONS:
            return
        idle = [(one.unused_since, address) for address, one in self._connections.items() if not one.calls]
        if not idle:
            raise TransportError(f"all {MAX_CONNECTIONS} connections are in use")
        self._close_later(self._connections.pop(min(idle)[1]))

    def _sweep(self) -> None:
        """Close what was idle for long or is broken; runs while there are connections."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._idle_timeout_s
        for address, connection in list(self._connections.items()):
            if not connection.session.is_open or (not connection.calls and connection.unused_since <= oldest):
                del self._connections[address]
                self._close_later(connection)
        self._sweeper = loop.call_later(self._idle_timeout_s / 4, self._sweep) if self._connections else None

    def _close_later(self, connection: _Connection) -> None:
        """Close a connection that gets no more calls, once those under way are done."""
        task = asyncio.get_running_loop().create_task(self._close_when_done(connection))
        self._retired[connection] = task
        task.add_done_callback(lambda _: self._retired.pop(connection, None))

    async def _close_when_done(self, connection: _Connection) -> None:
        # Each call has its own deadline, and the session's keep-alive watches over a peer that has gone away.
        while connection.calls:
            await asyncio.sleep(self._idle_timeout_s / 4)
        await connection.session.aclose()

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    async def aclose(self) -> None:
        """Close every connection; calls under way fail. Idempotent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        dialling = list(self._dialling.values())
        for task in dialling:
            task.cancel()
        await asyncio.gather(*dialling, return_exceptions=True)
        for connection in [*self._connections.values(), *self._retired]:
            await connection.session.aclose()
        self._connections.clear()
        retired = list(self._retired.values())
        for closing in retired:
            closing.cancel()
        await asyncio.gather(*retired, return_exceptions=True)


def make_pool(transport: Transport, *, is_server: bool) -> ConnectionPool:
    """The pool of an agent, with the bounds of its kind."""
    if is_server:
        return ConnectionPool(transport)
    return ConnectionPool(transport, idle_timeout_ms=CLIENT_IDLE_TIMEOUT_MS, max_idle_streams=CLIENT_MAX_IDLE_STREAMS)
