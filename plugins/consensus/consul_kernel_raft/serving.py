"""The other side of a channel: one connection that another server opened to this one."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Protocol

import msgpack

from consul_kernel.contracts.errors import PeerProtocolError, StreamClosedError
from consul_kernel.contracts.metrics import Sample
from consul_kernel.contracts.transport import Stream

from .core.messages import InstallSnapshot, Message, Request, TimeoutNow
from .fields import read_sender
from .wire import (
    RPC_TYPES,
    UNSUPPORTED_VERSION,
    RpcType,
    check_version,
    decode_request,
    encode_error,
    encode_timeout_now_response,
    new_unpacker,
)
from .wire_snapshot import SnapshotArrived, SnapshotHeader, encode_arrived, read_snapshot_header

_READ_BYTES = 64 * 1024
_PIPELINED_MAX = 128
"""Requests of one connection that are not answered yet; the next one is not read before there is room."""

_ANSWER_TIMEOUT_S = 30.0
"""A request that a full inbox dropped gets no answer, and while its connection is not read its end is not seen."""


class Slot:
    """Where the answer to one request will be; answers leave in the order of the requests."""

    __slots__ = ("answer", "begun_s", "connection", "served", "token")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.answer: bytes | None = None
        self.token = 0
        self.begun_s = time.perf_counter()
        self.served: Sample | None = None
        """What the time until the answer is added to."""

    def fill(self, answer: bytes) -> None:
        """Answer the request."""
        self.answer = answer
        self.connection.flush()


class Receiver(Protocol):
    """What a connection needs of the driver."""

    server_id: str

    def find_id(self, address: str) -> str:
        """The id of the server with this address."""
        ...

    def register(self, slot: Slot) -> int:
        """A token, by which the answer finds the slot."""
        ...

    def forget(self, slots: list[Slot]) -> None:
        """The connection is gone; nobody waits for these answers."""
        ...

    def receive(self, message: Message) -> None:
        """Take a message in."""
        ...

    async def receive_snapshot(
        self, message: InstallSnapshot, header: SnapshotHeader, source: SnapshotBytes
    ) -> InstallSnapshot:
        """Store the bytes that follow the header; the message with the stored snapshot's id."""
        ...

    async def snapshot_arrived(self, sender: str) -> SnapshotArrived:
        """What has arrived of a snapshot of this sender."""
        ...


class SnapshotBytes:
    """The raw bytes after an InstallSnapshot header: first what was read ahead, then the stream's."""

    def __init__(self, unpacker: Any, stream: Stream) -> None:
        self._unpacker = unpacker
        self._stream = stream

    async def read(self, max_bytes: int) -> bytes:
        """Some bytes, at most `max_bytes`. Raises StreamClosedError at the end of the stream."""
        data: bytes = self._unpacker.read_bytes(max_bytes)
        if data:
            return data
        data = await self._stream.read(max_bytes)
        if not data:
            raise StreamClosedError("the snapshot ended early")
        return data

    def close(self) -> None:
        """End the connection."""
        self._stream.close()


class Connection:
    """Reads requests, hands them on, and writes the answers in order."""

    def __init__(self, stream: Stream, receiver: Receiver) -> None:
        self._stream = stream
        self._receiver = receiver
        self._slots: deque[Slot] = deque()
        self._room = asyncio.Event()
        self._closed = False

    def close(self) -> None:
        """End the connection; `serve` returns soon."""
        self._closed = True
        self._room.set()
        self._stream.close()

    def flush(self) -> None:
        """Write the answers that are next in order."""
        ready = []
        while self._slots and self._slots[0].answer is not None:
            ready.append(self._slots.popleft().answer or b"")
        if ready and not self._closed:
            self._stream.write(b"".join(ready))
        self._room.set()

    async def serve(self) -> None:
        """Serve until the stream ends. Raises PeerProtocolError, TransportError, StoreError: then close."""
        try:
            await self._serve()
        finally:
            self._closed = True
            self._receiver.forget(list(self._slots))

    async def _serve(self) -> None:
        unpacker = new_unpacker()
        kind: int | None = None
        while not self._closed and (data := await self._stream.read(_READ_BYTES)):
            try:
                unpacker.feed(data)
                while True:
                    if kind is None:
                        first = unpacker.read_bytes(1)
                        if not first:
                            break
                        kind = first[0]
                        if kind not in RPC_TYPES:
                            raise PeerProtocolError(f"unknown request type {kind}")
                    try:
                        fields = unpacker.unpack()
                    except msgpack.OutOfData:
                        break
                    await self._request(kind, fields, unpacker)
                    kind = None
            except (ValueError, RecursionError, TypeError) as error:
                raise PeerProtocolError(f"a request cannot be read: {error!r}") from error
            await self._stream.drain()

    async def _wait_for_room(self) -> None:
        """Read no further while too many answers are due. Raises StreamClosedError where they do not come."""
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                while len(self._slots) >= _PIPELINED_MAX and not self._closed:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise StreamClosedError(f"no answer could be given within {_ANSWER_TIMEOUT_S:.0f} s") from None

    async def _request(self, kind: int, fields: Any, unpacker: Any) -> None:
        if len(self._slots) >= _PIPELINED_MAX:
            await self._wait_for_room()
        slot = Slot(self)
        self._slots.append(slot)
        if not check_version(fields):
            slot.fill(encode_error(UNSUPPORTED_VERSION))
            return
        receiver = self._receiver
        if kind == RpcType.SNAPSHOT_ARRIVED:
            slot.fill(encode_arrived(await receiver.snapshot_arrived(read_sender(fields, b"Leader", receiver.find_id))))
            return
        token = receiver.register(slot)
        request: Request = decode_request(kind, fields, to=receiver.server_id, token=token, find_id=receiver.find_id)
        if isinstance(request, InstallSnapshot):
            header = read_snapshot_header(fields)
            request = await receiver.receive_snapshot(request, header, SnapshotBytes(unpacker, self._stream))
        receiver.receive(request)
        if isinstance(request, TimeoutNow):
            receiver.forget([slot])
            slot.fill(encode_timeout_now_response())
