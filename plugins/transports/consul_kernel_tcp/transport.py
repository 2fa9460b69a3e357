"""The transport itself, and its listeners."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from consul_kernel.contracts.errors import PluginStartError, TransportError
from consul_kernel.contracts.transport import Address, ReceivePacket, ServeStream

from .packets import UdpEndpoint
from .sockets import bind_socket, cause_of, family_of, socket_address, to_address
from .stream import READ_BUFFER_BYTES, TcpStream, close_all

_log = logging.getLogger(__name__)

ACCEPT_BACKLOG = 1024
CLOSE_TIMEOUT_S = 5.0
"""How long tasks that serve streams get to end after their cancellation."""
FLUSH_TIMEOUT_S = 1.0
"""How long what is queued on streams may take to leave when a listener or the transport is closed."""


class TcpListener:
    """A listening TCP socket (contract `Listener`)."""

    def __init__(self, serve: ServeStream, buffer: bytearray, on_closed: Callable[[TcpListener], None]) -> None:
        self._serve = serve
        self._buffer = buffer
        self._on_closed = on_closed
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], TcpStream] = {}
        self._streams: set[TcpStream] = set()
        self._closed = False
        self.address = Address("", 0)

    async def start(self, bind: Address) -> None:
        """Bind and accept. Raises PluginStartError."""
        sock = bind_socket(socket.SOCK_STREAM, bind)
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: TcpStream(self._buffer, self._on_made, self._streams.discard), sock=sock, backlog=ACCEPT_BACKLOG
            )
        except OSError as error:
            sock.close()
            raise PluginStartError(f"cannot listen on TCP {bind}: {cause_of(error)}") from error
        self.address = to_address(sock.getsockname())

    def _on_made(self, stream: TcpStream) -> None:
        if self._closed:
            stream.abort()
            return
        self._streams.add(stream)
        task = asyncio.get_running_loop().create_task(self._run(stream))
        self._serving[task] = stream
        task.add_done_callback(self._on_done)

    async def _run(self, stream: TcpStream) -> None:
        try:
            await self._serve(stream)
        except (TransportError, TimeoutError) as error:
            _log.debug("stream from %s ended: %s", stream.peer, error)
        except Exception:  # noqa: BLE001 - one stream's fault must not end the others
            _log.exception("serving a stream from %s failed", stream.peer)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._serving.pop(task).close()

    async def aclose(self) -> None:
        """Stop accepting, end what is served; takes at most CLOSE_TIMEOUT_S."""
        if self._closed:
            return
        self._closed = True
        if self._server is not None:
            self._server.close()
        current = asyncio.current_task()
        tasks = [task for task in self._serving if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)
            if stubborn:
                _log.warning("%d streams of %s were still served after their cancellation", len(stubborn), self.address)
        await close_all(list(self._streams), within_s=FLUSH_TIMEOUT_S)
        # Lets the event loop let go of the sockets, so that the address can be bound again at once.
        await asyncio.sleep(0)
        self._on_closed(self)


class TcpTransport:
    """Contract `Transport` over the operating system's sockets."""

    def __init__(self) -> None:
        self._buffer = bytearray(READ_BUFFER_BYTES)
        self._listeners: set[TcpListener] = set()
        self._endpoints: set[UdpEndpoint] = set()
        self._dialled: set[TcpStream] = set()
        self._closed = False

    async def open_packets(self, bind: Address, receive: ReceivePacket) -> UdpEndpoint:
        """Bind a UDP socket."""
        endpoint = UdpEndpoint(bind, receive, self._endpoints.discard)
        self._endpoints.add(endpoint)
        return endpoint

    async def listen(self, bind: Address, serve: ServeStream) -> TcpListener:
        """Bind a listening TCP socket."""
        listener = TcpListener(serve, self._buffer, self._listeners.discard)
        await listener.start(bind)
        self._listeners.add(listener)
        return listener

    async def dial(self, to: Address, *, timeout_ms: int) -> TcpStream:
        """Connect to a numeric address."""
        family = family_of(to.host)
        if self._closed or family is None or socket_address(family, *to) is None:
            raise TransportError(f"dial tcp {to}: {'transport is closed' if self._closed else 'no such address'}")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                transport, stream = await loop.create_connection(
                    lambda: TcpStream(self._buffer, self._dialled.add, self._dialled.discard),
                    to.host,
                    to.port,
                    family=family,
                )
        except TimeoutError as error:
            raise TransportError(f"dial tcp {to}: i/o timeout") from error
        except OSError as error:
            raise TransportError(f"dial tcp {to}: connect: {cause_of(error).lower()}") from error
        if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
            # A free port of this very host can be connected to itself; nobody listens there.
            stream.abort()
            raise TransportError(f"dial tcp {to}: connect: connection refused")
        return stream

    async def aclose(self) -> None:
        """Close listeners, packet endpoints and every stream."""
        self._closed = True
        for endpoint in list(self._endpoints):
            endpoint.close()
        for listener in list(self._listeners):
            await listener.aclose()
        await close_all(list(self._dialled), within_s=FLUSH_TIMEOUT_S)
