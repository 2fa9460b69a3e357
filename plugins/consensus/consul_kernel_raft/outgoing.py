"""A snapshot on its way to a follower that needs entries which are not kept any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from consul_kernel.contracts.errors import CorruptStoreError, PeerProtocolError, StoreError, StreamClosedError
from consul_kernel.contracts.store import SnapshotSource, SnapshotStore
from consul_kernel.contracts.transport import Stream

from .core.messages import InstallSnapshot, InstallSnapshotResponse
from .snapshots import CHUNK_BYTES, effort, point_of
from .wire import RequestEncoder, decode_response, new_unpacker
from .wire_snapshot import SnapshotArrived, decode_arrived

_log = logging.getLogger("consul_kernel_raft")
_TIMEOUT_S = 10.0
"""For each piece of a snapshot to leave, and for a short answer."""
_RESTORED_BYTES_PER_S = 1 << 20
"""The follower answers once it has made the state its own; no disk is slower than this."""

Connect = Callable[[], Awaitable[Stream]]


async def send(
    request: InstallSnapshot, connect: Connect, store: SnapshotStore, encoder: RequestEncoder, first_index: int
) -> InstallSnapshotResponse:
    """Send a snapshot from which the log, which begins at `first_index`, goes on; wait for the answer.

    That is the newest whole one, or the one of which the follower already has a part, if it will do. Raises
    StoreError, TransportError, PeerProtocolError or TimeoutError.
    """
    started_s = time.monotonic()
    arrived, stream = await _ask(request, connect, encoder)
    try:
        source, offset = await _open(store, arrived, first_index - 1)
        try:
            response = await _send(replace(request, snapshot=point_of(source.meta)), source, offset, stream, encoder)
        finally:
            source.close()
    finally:
        stream.close()
    meta, outcome = source.meta, "sent to" if response.success else "refused by"
    _log.info("snapshot %s %s %s: %s", meta.id, outcome, request.to, effort(meta.size - offset, started_s))
    return response


async def _ask(request: InstallSnapshot, connect: Connect, encoder: RequestEncoder) -> tuple[SnapshotArrived, Stream]:
    """How much the follower already has, and a connection to it. One that does not know the question closes it."""
    stream = await connect()
    try:
        stream.write(encoder.snapshot_arrived(request.term))
        async with asyncio.timeout(_TIMEOUT_S):
            return decode_arrived(*await _read_answer(stream)), stream
    except StreamClosedError:
        stream.close()
        return SnapshotArrived(), await connect()
    except BaseException:
        stream.close()
        raise


async def _open(store: SnapshotStore, arrived: SnapshotArrived, index: int) -> tuple[SnapshotSource, int]:
    """A snapshot at or after `index` that is not damaged, and where to go on in it. Raises StoreError."""
    usable = [meta for meta in store.list() if meta.index >= index]
    begun = [meta for meta in usable if meta.id == arrived.snapshot_id and arrived.offset <= meta.size]
    for meta in (*begun, *usable):
        try:
            source = await store.open(meta.id)
        except CorruptStoreError as error:
            _log.error("snapshot %s cannot be sent: %s", meta.id, error)
        else:
            return source, arrived.offset if begun and meta is begun[0] else 0
    raise StoreError(f"the snapshot at {index} is gone")


async def _send(
    request: InstallSnapshot, source: SnapshotSource, offset: int, stream: Stream, encoder: RequestEncoder
) -> InstallSnapshotResponse:
    size = source.meta.size
    skipped = 0
    while skipped < offset:
        skipped += len(await source.read(min(CHUNK_BYTES, offset - skipped)))
    stream.write(encoder.install_snapshot(request.term, request.snapshot, size, offset))
    while chunk := await source.read(CHUNK_BYTES):
        stream.write(chunk)
        async with asyncio.timeout(_TIMEOUT_S):
            await stream.drain()
    async with asyncio.timeout(_TIMEOUT_S + size / _RESTORED_BYTES_PER_S):
        response = decode_response(request, *await _read_answer(stream))
    assert isinstance(response, InstallSnapshotResponse)
    return response


async def _read_answer(stream: Stream) -> tuple[Any, Any]:
    """An error text and a map. Raises StreamClosedError or PeerProtocolError."""
    unpacker = new_unpacker()
    values: list[object] = []
    while len(values) < 2:
        data = await stream.read(CHUNK_BYTES)
        if not data:
            raise StreamClosedError("no answer to a snapshot")
        try:
            unpacker.feed(data)
            values.extend(unpacker)
        except ValueError as error:
            raise PeerProtocolError("the answer to a snapshot cannot be read") from error
    return values[0], values[1]
