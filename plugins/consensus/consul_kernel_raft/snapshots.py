"""Snapshots as streams: from the state machine to the store, to a follower, and from a leader."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

from consul_kernel.contracts.consensus import Configuration, StateMachine
from consul_kernel.contracts.errors import (
    ConsensusError,
    CorruptStoreError,
    PeerProtocolError,
    StoreError,
    StreamClosedError,
)
from consul_kernel.contracts.store import SnapshotMeta, SnapshotSink, SnapshotSource, SnapshotStore
from consul_kernel.contracts.transport import Stream

from .core.entry import decode_configuration
from .core.messages import InstallSnapshot, InstallSnapshotResponse, SnapshotPoint
from .serving import SnapshotBytes
from .wire import RequestEncoder, configuration_bytes, decode_response, new_unpacker

_log = logging.getLogger("consul_kernel_raft")
_CHUNK_BYTES = 256 * 1024
_TIMEOUT_S = 10.0
"""For each 256 KiB begun of a snapshot that is sent, as Consul does; and for what comes next of one that comes."""


def point_of(meta: SnapshotMeta) -> SnapshotPoint:
    """Where a stored snapshot ends. Raises PeerProtocolError when its configuration cannot be read."""
    configuration = (
        decode_configuration(meta.configuration, meta.configuration_index) if meta.configuration else Configuration()
    )
    return SnapshotPoint(id=meta.id, index=meta.index, term=meta.term, configuration=configuration)


async def save(
    machine: StateMachine, store: SnapshotStore, *, term: int, configuration: Configuration
) -> SnapshotPoint:
    """Write the state machine's state to the store, letting other work run between pieces. Raises StoreError.

    Call it in the turn in which `term` and `configuration` were read: the view is taken before the first wait.
    """
    started_s = time.monotonic()
    view = machine.snapshot()
    try:
        sink = await store.create(
            index=view.index,
            term=term,
            configuration=configuration_bytes(configuration),
            configuration_index=configuration.index,
        )
        try:
            for chunk in view.chunks():
                await sink.write(chunk)
                await asyncio.sleep(0)
            meta = await sink.commit()
        except BaseException:
            await sink.abort()
            raise
    finally:
        view.close()
    _log.info("snapshot %s taken up to entry %d: %s", meta.id, meta.index, _effort(meta.size, started_s))
    return point_of(meta)


def _effort(size_bytes: int, started_s: float) -> str:
    return f"{size_bytes} bytes in {(time.monotonic() - started_s) * 1000:.0f} ms"


class _Incoming:
    """A snapshot on its way from a peer to the store, as a source: what is read of it is written."""

    def __init__(self, meta: SnapshotMeta, source: SnapshotBytes, sink: SnapshotSink) -> None:
        self.meta = meta
        self.left = meta.size
        self._source = source
        self._sink = sink

    async def read(self, max_bytes: int) -> bytes:
        """The next bytes, which are in the sink by then; empty at the end. Raises StreamClosedError."""
        if not self.left:
            return b""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                chunk = await self._source.read(min(self.left, max_bytes, _CHUNK_BYTES))
        except TimeoutError:
            raise StreamClosedError(f"the snapshot stopped {self.left} bytes before its end") from None
        self.left -= len(chunk)
        await self._sink.write(chunk)
        return chunk

    def close(self) -> None:
        """The stream is the connection's."""


async def receive(
    message: InstallSnapshot, source: SnapshotBytes, size: int, store: SnapshotStore, machine: StateMachine
) -> InstallSnapshot:
    """Write the bytes that follow a header to the store, if the state machine could be restored from them.

    Otherwise nothing is kept of them. Raises PeerProtocolError, StreamClosedError or StoreError.
    """
    point, started_s = message.snapshot, time.monotonic()
    sink = await store.create(
        index=point.index,
        term=point.term,
        configuration=configuration_bytes(point.configuration),
        configuration_index=point.configuration.index,
    )
    try:
        coming = SnapshotMeta(id=f"from {message.sender}", index=point.index, term=point.term, size=size)
        incoming = _Incoming(coming, source, sink)
        await machine.verify(incoming)
        if incoming.left:
            raise PeerProtocolError(f"a snapshot with {incoming.left} bytes behind its end")
        meta = await sink.commit()
    except CorruptStoreError as error:
        await sink.abort()
        raise PeerProtocolError(f"a snapshot that cannot be restored: {error}") from error
    except BaseException:
        await sink.abort()
        raise
    _log.info("snapshot up to entry %d received from %s: %s", point.index, message.sender, _effort(size, started_s))
    return replace(message, snapshot=replace(point, id=meta.id))


async def send(
    request: InstallSnapshot, stream: Stream, store: SnapshotStore, encoder: RequestEncoder
) -> InstallSnapshotResponse:
    """Send the newest whole snapshot, which is at least as new as the one asked for, and wait for the answer.

    Raises StoreError, TransportError, PeerProtocolError or TimeoutError.
    """
    started_s = time.monotonic()
    source = await _open_newest(store, request.snapshot.index)
    try:
        meta = source.meta
        point = point_of(meta)
        async with asyncio.timeout(_TIMEOUT_S * max(1, -(-meta.size // _CHUNK_BYTES))):
            stream.write(encoder.install_snapshot(request.term, point, meta.size))
            while chunk := await source.read(_CHUNK_BYTES):
                stream.write(chunk)
                await stream.drain()
            response = await _read_answer(replace(request, snapshot=point), stream)
    finally:
        source.close()
    outcome = "sent to" if response.success else "refused by"
    _log.info("snapshot %s %s %s: %s", meta.id, outcome, request.to, _effort(meta.size, started_s))
    return response


async def _open_newest(store: SnapshotStore, index: int) -> SnapshotSource:
    """The newest snapshot at or after `index` that is not damaged. Raises StoreError."""
    for meta in store.list():
        if meta.index < index:
            break
        try:
            return await store.open(meta.id)
        except CorruptStoreError as error:
            _log.error("snapshot %s cannot be sent: %s", meta.id, error)
    raise StoreError(f"the snapshot at {index} is gone")


async def _read_answer(request: InstallSnapshot, stream: Stream) -> InstallSnapshotResponse:
    unpacker = new_unpacker()
    values: list[object] = []
    while len(values) < 2:
        data = await stream.read(_CHUNK_BYTES)
        if not data:
            raise StreamClosedError("no answer to a snapshot")
        try:
            unpacker.feed(data)
            values.extend(unpacker)
        except ValueError as error:
            raise PeerProtocolError("the answer to a snapshot cannot be read") from error
    response = decode_response(request, values[0], values[1])
    assert isinstance(response, InstallSnapshotResponse)
    return response


async def restore(machine: StateMachine, store: SnapshotStore, snapshot_id: str) -> None:
    """Replace the state machine's state by a stored snapshot. Raises StoreError."""
    started_s = time.monotonic()
    source = await store.open(snapshot_id)
    try:
        await machine.restore(source)
    finally:
        source.close()
    size = source.meta.size
    _log.info("state restored from snapshot %s: %s", snapshot_id, _effort(size, started_s))


def require_applied(applied_index: int) -> None:
    """Raises ConsensusError where there is nothing to snapshot."""
    if applied_index == 0:
        raise ConsensusError("nothing new to snapshot")
