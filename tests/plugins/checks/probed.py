"""What the tests of checks probe: small servers of every protocol, healthy, sick, silent or talkative."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from consul_kernel_checks.grpc_messages import ServingStatus

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def tcp_server(handle: Handler, **options: Any) -> AsyncIterator[str]:
    """A TCP server; its `host:port`. Connections that are open at its end are closed."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, EOFError):
                await handle(reader, writer)
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def silent_server(**options: Any) -> AsyncIterator[str]:
    """Takes connections, reads, and never answers."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass

    async with tcp_server(handle, **options) as address:
        yield address


@contextlib.asynccontextmanager
async def http_server(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """An HTTP server; its `host:port`."""
    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    host, port = runner.addresses[0]
    try:
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


class UdpService(asyncio.DatagramProtocol):
    """Echoes what it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self.received: list[bytes] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append(data)
        self._transport.sendto(data, addr)


class SilentUdpService(asyncio.DatagramProtocol):
    """Takes what it is sent, and says nothing."""


@contextlib.asynccontextmanager
async def udp_server(service: asyncio.DatagramProtocol) -> AsyncIterator[str]:
    """A UDP socket; its `host:port`."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: service, local_addr=("127.0.0.1", 0))
    host, port = transport.get_extra_info("sockname")
    try:
        yield f"{host}:{port}"
    finally:
        transport.close()
        await asyncio.sleep(0)


class GrpcServer:
    """HTTP/2 with gRPC's health service, on the server's side of `h2`; pings are answered by that.

    `answer` makes the reply to a request's message; None is silence.
    """

    def __init__(self, answer: Callable[[bytes], GrpcAnswer | None]) -> None:
        self._answer = answer
        self.requests: list[dict[str, str]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        state.initiate_connection()
        bodies: dict[int, bytes] = {}
        writer.write(state.data_to_send())
        while data := await reader.read(65536):
            try:
                events = state.receive_data(data)
            except ProtocolError:
                return
            for event in events:
                if isinstance(event, RequestReceived):
                    self.requests.append({str(name): str(value) for name, value in event.headers})
                elif isinstance(event, DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                elif isinstance(event, StreamEnded):
                    answer = self._answer(bodies.get(event.stream_id, b""))
                    if answer is not None:
                        answer.send(state, event.stream_id)
            writer.write(state.data_to_send())
            await writer.drain()


class GrpcAnswer:
    """A reply of a gRPC server: a message, or a status without one."""

    def __init__(
        self, *, message: bytes | None = None, status: str = "0", text: str = "", http_status: str = "200"
    ) -> None:
        self._message = message
        self._trailers = [("grpc-status", status), ("grpc-message", text)]
        self._http_status = http_status

    def send(self, state: H2Connection, stream: int) -> None:
        headers = [(":status", self._http_status), ("content-type", "application/grpc")]
        if self._message is None:
            state.send_headers(stream, headers + self._trailers, end_stream=True)
            return
        state.send_headers(stream, headers)
        state.send_data(stream, struct.pack(">BI", 0, len(self._message)) + self._message)
        state.send_headers(stream, self._trailers, end_stream=True)


def serving(status: ServingStatus) -> GrpcAnswer:
    """A HealthCheckResponse."""
    return GrpcAnswer(message=bytes([0x08, status]) if status else b"")


class DockerDaemon:
    """The Docker engine's exec calls, for one container `web`. `hold` keeps the command running."""

    def __init__(self, *, exit_code: int = 0, output: bytes = b"said", hold: bool = False) -> None:
        self._exit_code = exit_code
        self._output = output
        self._hold = hold
        self.commands: list[list[str]] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.path.strip("/").split("/"):
            case ["containers", "web", "exec"]:
                self.commands.append((await request.json())["Cmd"])
                return web.json_response({"Id": "e1"}, status=201)
            case ["containers", "paused", "exec"]:
                return web.json_response({"message": "Container is paused"}, status=409)
            case ["containers", "odd", "exec"]:
                return web.Response(status=201, body=b"not json")
            case ["exec", "e1", "start"]:
                return await self._start(request)
            case ["exec", "e1", "json"]:
                return web.json_response({"ExitCode": self._exit_code, "Running": False})
        return web.json_response({"message": "No such container"}, status=404)

    async def _start(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.docker.raw-stream"})
        await response.prepare(request)
        for start in range(0, len(self._output), 1000):
            piece = self._output[start : start + 1000]
            await response.write(struct.pack(">BxxxI", 1 + start % 2, len(piece)))
            await response.write(piece)
        if self._hold:
            await asyncio.sleep(60)
        return response


@contextlib.asynccontextmanager
async def docker_engine(daemon: DockerDaemon) -> AsyncIterator[str]:
    """The engine on a unix socket; what `DOCKER_HOST` says of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "docker.sock"
        runner = web.ServerRunner(web.Server(daemon, handler_cancellation=True), shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        try:
            yield f"unix://{path}"
        finally:
            await runner.cleanup()
