"""A snapshot on its way in: written to the store as it comes, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from consul_kernel.contracts.consensus import StateMachine
from consul_kernel.contracts.errors import CorruptStoreError, PeerProtocolError, StreamClosedError
from consul_kernel.contracts.store import SnapshotMeta, SnapshotSink, SnapshotStore

from .core.messages import InstallSnapshot, SnapshotPoint
from .serving import SnapshotBytes
from .snapshots import CHUNK_BYTES, effort
from .wire import configuration_bytes
from .wire_snapshot import SnapshotArrived, SnapshotHeader

_log = logging.getLogger("consul_kernel_raft")
_CHUNK_TIMEOUT_S = 10.0
"""For the next bytes of a connection; then it is let go of."""
KEPT_S = 120.0
"""What has arrived waits so long for another connection that brings the rest."""


class IncomingSnapshot:
    """One snapshot of one sender. A task of its own stores it and has the state machine verify it meanwhile.

    The bytes are taken from the connection that is attached. When one breaks, what has arrived is kept for a while,
    and another connection of the same sender may go on from there. `on_over` is called once nothing more can come.
    """

    def __init__(
        self,
        message: InstallSnapshot,
        header: SnapshotHeader,
        store: SnapshotStore,
        machine: StateMachine,
        on_over: Callable[[IncomingSnapshot], None],
    ) -> None:
        self.message = message
        self.meta = SnapshotMeta(
            id=f"from {message.sender}", index=message.snapshot.index, term=message.snapshot.term, size=header.size
        )
        self._header = header
        self._store = store
        self._machine = machine
        self._on_over = on_over
        self._arrived = 0
        self._sink: SnapshotSink | None = None
        self._source: SnapshotBytes | None = None
        self._attached = asyncio.Event()
        self._outcome: asyncio.Future[SnapshotPoint] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._task = asyncio.get_running_loop().create_task(self._receive())

    # --- what a connection does ---

    @property
    def arrived(self) -> SnapshotArrived:
        """What the sender need not send again."""
        return SnapshotArrived(self._header.snapshot_id, self._arrived)

    @property
    def is_attached(self) -> bool:
        """Whether a connection brings bytes."""
        return self._source is not None

    def goes_on_with(self, message: InstallSnapshot, header: SnapshotHeader) -> bool:
        """Whether a request brings the next bytes of this snapshot."""
        return (
            not self._task.done()
            and message.sender == self.message.sender
            and replace(header, offset=0) == replace(self._header, offset=0)
            and replace(message.snapshot, id="") == replace(self.message.snapshot, id="")
            and header.offset == self._arrived
        )

    async def take_from(self, source: SnapshotBytes) -> SnapshotPoint:
        """Take the rest from a connection; the stored snapshot.

        Raises PeerProtocolError, StoreError, or StreamClosedError, after which another connection may go on.
        """
        await self.detach()
        self._stop_expiry()
        self._outcome = asyncio.get_running_loop().create_future()
        self._source = source
        self._attached.set()
        return await self._outcome

    async def detach(self) -> None:
        """Let go of the connection that brings bytes, where there is one: its sender has begun another."""
        source, outcome = self._source, self._outcome
        if source is not None and outcome is not None:
            source.close()
            await asyncio.wait([outcome])

    async def abandon(self) -> None:
        """Give up; nothing is kept."""
        self._stop_expiry()
        self._task.cancel()
        await asyncio.wait([self._task])

    # --- what the state machine reads ---

    async def read(self, max_bytes: int) -> bytes:
        """The next bytes, which are in the store by then; empty at the end."""
        left = self.meta.size - self._arrived
        if not left:
            return b""
        while True:
            await self._attached.wait()
            assert self._source is not None
            try:
                async with asyncio.timeout(_CHUNK_TIMEOUT_S):
                    chunk = await self._source.read(min(left, max_bytes, CHUNK_BYTES))
            except (TimeoutError, OSError) as error:
                self._let_go(StreamClosedError(f"the snapshot stopped {left} bytes before its end: {error!r}"))
            else:
                break
        assert self._sink is not None
        await self._sink.write(chunk)
        self._arrived += len(chunk)
        return chunk

    def close(self) -> None:
        """The connections are not the reader's."""

    # --- inside ---

    async def _receive(self) -> None:
        try:
            point = await self._save()
        except BaseException as error:
            self._end(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._end(point)

    async def _save(self) -> SnapshotPoint:
        point, started_s = self.message.snapshot, time.monotonic()
        self._sink = sink = await self._store.create(
            index=point.index,
            term=point.term,
            configuration=configuration_bytes(point.configuration),
            configuration_index=point.configuration.index,
        )
        try:
            await self._machine.verify(self)
            left = self.meta.size - self._arrived
            if left:
                raise PeerProtocolError(f"a snapshot with {left} bytes behind its end")
            meta = await sink.commit()
        except CorruptStoreError as error:
            await sink.abort()
            raise PeerProtocolError(f"a snapshot that cannot be restored: {error}") from error
        except BaseException:
            await sink.abort()
            raise
        done = effort(meta.size, started_s)
        _log.info("snapshot up to entry %d received from %s: %s", point.index, self.message.sender, done)
        return replace(point, id=meta.id)

    def _let_go(self, error: StreamClosedError) -> None:
        """The connection ended; wait for another one, but not for ever."""
        self._attached.clear()
        self._source = None
        self._expiry = asyncio.get_running_loop().call_later(KEPT_S, self._task.cancel)
        outcome, self._outcome = self._outcome, None
        if outcome is not None and not outcome.done():
            outcome.set_exception(error)

    def _stop_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _end(self, result: SnapshotPoint | BaseException) -> None:
        self._stop_expiry()
        self._source = None
        outcome, self._outcome = self._outcome, None
        if outcome is not None and not outcome.done():
            if isinstance(result, SnapshotPoint):
                outcome.set_result(result)
            elif isinstance(result, Exception):
                outcome.set_exception(result)
            else:
                outcome.set_exception(StreamClosedError("the snapshot is not taken any more"))
        self._on_over(self)
