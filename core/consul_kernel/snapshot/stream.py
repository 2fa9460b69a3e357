"""The snapshot stream between agents: a request, an archive one way or the other, and an answer.

On a connection of its own, whose first byte is 5: the request as MessagePack; to restore, the archive, ended by the
end of that direction; then the answer, and for a save the archive, ended by the end of the connection.
(Consul: `agent/consul/snapshot_endpoint.go`.)
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from consul_kernel.contracts.errors import ConsulKernelError, PeerProtocolError, RpcError, TransportError
from consul_kernel.contracts.interface import SavedSnapshot
from consul_kernel.contracts.transport import Address, Stream, Transport
from consul_kernel.rpc.errors import RpcTransportError, RpcUnreachableError
from consul_kernel.rpc.wire import MessageReader, decode, encode
from consul_kernel.structs.snapshot import SnapshotOp, SnapshotRequest, SnapshotResponse

from .pieces import Pieces
from .spool import in_thread

_log = logging.getLogger(__name__)

FIRST_BYTE = 5
READ_BYTES = 256 * 1024
MAX_HEADER_BYTES = 64 * 1024
DIAL_TIMEOUT_MS = 10_000
IDLE_TIMEOUT_S = 60.0
"""How long the other end may send nothing, or take nothing, while it is its turn."""
ANSWER_TIMEOUT_S = 3600.0
"""How long a server may take to make an archive, or to restore one."""
_OUTPUT_BYTES = 256 * 1024
_GZIP_WINDOW_BITS = 31

Save = Callable[[SnapshotRequest], Awaitable[SavedSnapshot]]
Restore = Callable[[SnapshotRequest, AsyncIterator[bytes]], Awaitable[None]]


# --- the asking side ---


async def request_save(transport: Transport, address: Address, request: SnapshotRequest) -> SavedSnapshot:
    """Have a server make an archive. RpcError with its text, RpcTransportError when there was no answer."""
    stream = await _dial(transport, address)
    try:
        stream.write(encode(request))
        stream.close_write()
        incoming = _Incoming(stream)
        response = await _read_response(incoming)
    except BaseException:
        stream.close()
        raise

    async def close() -> None:
        stream.close()

    return SavedSnapshot(response, Pieces(_relay(incoming), close))


async def request_restore(
    transport: Transport, address: Address, request: SnapshotRequest, archive: AsyncIterator[bytes]
) -> None:
    """Have a server restore an archive. RpcError with its text, RpcTransportError when there was no answer."""
    stream = await _dial(transport, address)
    answer = asyncio.ensure_future(_read_response(_Incoming(stream)))
    sending = asyncio.ensure_future(_send_archive(stream, request, archive))
    try:
        # A server that refuses an archive need not wait for its end, and what it says is what matters.
        await asyncio.wait((answer, sending), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            try:
                await sending
            except TransportError as error:
                _log.debug("the archive was not taken to its end: %s", error)
        await answer
    finally:
        for task in (answer, sending):
            task.cancel()
        await asyncio.gather(answer, sending, return_exceptions=True)
        stream.close()


async def _dial(transport: Transport, address: Address) -> Stream:
    try:
        stream = await transport.dial(address, timeout_ms=DIAL_TIMEOUT_MS)
    except TransportError as error:
        raise RpcUnreachableError(str(error)) from error
    stream.write(bytes((FIRST_BYTE,)))
    return stream


async def _send_archive(stream: Stream, request: SnapshotRequest, archive: AsyncIterator[bytes]) -> None:
    stream.write(encode(request))
    async for piece in archive:
        await _send(stream, piece)
    stream.close_write()


async def _read_response(incoming: _Incoming) -> SnapshotResponse:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            response: SnapshotResponse = decode(SnapshotResponse, await incoming.message())
    except TimeoutError:
        raise RpcTransportError(f"no answer from {incoming.peer} within {ANSWER_TIMEOUT_S:.0f} s") from None
    except (TransportError, PeerProtocolError) as error:
        raise RpcTransportError(f"failed to decode response: {str(error) or 'EOF'}") from error
    if response.error:
        raise RpcError(response.error)
    return response


async def _relay(incoming: _Incoming) -> AsyncGenerator[bytes, None]:
    """The archive as it comes. RpcTransportError where it ends too early: half of one is worse than none."""
    unpacker = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        async for piece in incoming.rest():
            await in_thread(_follow, unpacker, piece)
            yield piece
        if not unpacker.eof:
            raise RpcTransportError(f"{incoming.peer} broke off in the middle of the archive")
    except zlib.error as error:
        raise RpcTransportError(f"{incoming.peer} sent no archive: {error}") from error


def _follow(unpacker: zlib._Decompress, piece: bytes) -> None:
    while piece and not unpacker.eof:
        unpacker.decompress(piece, _OUTPUT_BYTES)
        piece = unpacker.unconsumed_tail


# --- the answering side ---


class SnapshotStreams:
    """Serves connections whose first byte was 5. What a peer sends ends its own connection at most."""

    def __init__(self, save: Save, restore: Restore) -> None:
        self._save = save
        self._restore = restore

    async def serve(self, stream: Stream) -> None:
        """Serve one connection. TransportError when it broke."""
        incoming = _Incoming(stream)
        try:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                request: SnapshotRequest = decode(SnapshotRequest, await incoming.message())
        except (PeerProtocolError, TimeoutError) as error:
            _log.warning("bad snapshot request from %s: %s", stream.peer, error or "it does not end")
            return
        try:
            if request.op == SnapshotOp.SAVE:
                saved = await self._save(request)
            else:
                await self._restore(request, incoming.rest())
                await _send(stream, encode(SnapshotResponse()))
                return
        except ConsulKernelError as error:
            await _send(stream, encode(SnapshotResponse(error=str(error))))
            return
        async with aclosing(saved.archive) as archive:
            await _send(stream, encode(saved.response))
            async for piece in archive:
                await _send(stream, piece)


# --- both ---


class _Incoming:
    """A message, then octets until the end of the stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._messages = MessageReader(MAX_HEADER_BYTES)

    @property
    def peer(self) -> Address:
        """Who sends."""
        return self._stream.peer

    async def message(self) -> bytes:
        """The message. TransportError at the end of the stream, WireError for what is none."""
        while (message := self._messages.next()) is None:
            data = await self._stream.read(READ_BYTES)
            if not data:
                raise TransportError("EOF")
            self._messages.feed(data)
        return message

    async def rest(self) -> AsyncGenerator[bytes, None]:
        """What follows. RpcTransportError when the peer falls silent or the connection breaks."""
        data = self._messages.take_rest()
        while True:
            if data:
                yield data
            try:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    data = await self._stream.read(READ_BYTES)
            except TimeoutError:
                raise RpcTransportError(f"{self.peer} sent nothing for {IDLE_TIMEOUT_S:.0f} s") from None
            except TransportError as error:
                raise RpcTransportError(str(error)) from error
            if not data:
                return


async def _send(stream: Stream, data: bytes) -> None:
    """Send, once the peer takes it. TransportError when it does not."""
    stream.write(data)
    try:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            await stream.drain()
    except TimeoutError as error:
        raise TransportError(f"{stream.peer} took nothing for {IDLE_TIMEOUT_S:.0f} s") from error
