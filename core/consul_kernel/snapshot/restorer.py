"""Restoring: an archive is received and verified as a whole; only then do its rows go to the servers, by the log.

What is wrong with an archive is found before anything is proposed, but for records that are damaged behind the right
checksum: those are found while rows are being staged, which replaces nothing either (`state.restore`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.state.restore import RestoreOp, RestoreRequest

from .archive import ArchiveMeta
from .archive_reader import ArchiveReader
from .loading import Loader
from .records import RecordReader
from .spool import Spool, in_thread
from .turns import Turn

Propose = Callable[[RestoreRequest], Awaitable[object]]
"""Orders a step by the log and waits for it. Raises ConsulKernelError when it is refused or its outcome unknown."""

ROWS_BYTES = 128 * 1024
"""About how many bytes of rows one step carries."""
STEPS_AHEAD = 4
"""Steps that are proposed and not applied yet."""
BYTES_AHEAD = 8 * 1024 * 1024
"""And their rows, at most: a value may be longer than many steps. One step is always proposed."""


class ReceivedArchive:
    """A verified archive in a spool. Close it in every case."""

    def __init__(self, meta: ArchiveMeta, spool: Spool) -> None:
        self.meta = meta
        self.spool = spool

    async def aclose(self) -> None:
        """Let go of the spool. Idempotent."""
        await self.spool.aclose()


async def receive(archive: AsyncIterator[bytes], *, spool_folder: Path | None) -> ReceivedArchive:
    """Take an archive in, and verify its form and checksums. Raises ArchiveError, or what the source raises."""
    spool = Spool(spool_folder)
    try:
        await in_thread(spool.open)
        reader = ArchiveReader(spool.append, max_state_bytes=await in_thread(spool.room))
        async for piece in archive:
            await in_thread(reader.feed, piece)
        return ReceivedArchive(await in_thread(reader.close), spool)
    except BaseException:
        await spool.aclose()
        raise


async def restore(received: ReceivedArchive, propose: Propose) -> Loader:
    """Replace the state of all servers; what the archive held. Raises ArchiveError for a record that is damaged, or

    what `propose` raises; then the state is what it was, unless it was the last step whose outcome is unknown.
    """
    restore_id = str(uuid.uuid4())
    await propose(RestoreRequest(op=RestoreOp.BEGIN, id=restore_id))
    steps = _Steps(restore_id, propose)
    try:
        loader = await _stage(received, steps)
        await steps.settle()
    except BaseException:
        await steps.give_up()
        raise
    last_index = max(received.meta.index, loader.last_index)
    await propose(RestoreRequest(op=RestoreOp.COMMIT, id=restore_id, number=steps.count, index=last_index))
    return loader


async def _stage(received: ReceivedArchive, steps: _Steps) -> Loader:
    loader, records, turn = Loader(), RecordReader(), Turn()
    pieces = received.spool.pieces()
    while (piece := await in_thread(lambda: next(pieces, None))) is not None:
        turn.begin()
        for kind, record in records.feed(piece):
            loader.add(kind, record)
            if loader.size >= ROWS_BYTES:
                await steps.add(loader.size, loader.take())
                turn.begin()
            elif turn.is_over:
                await turn.pass_on()
    records.close()
    loader.finish()
    await steps.add(loader.size, loader.take())
    return loader


class _Steps:
    """The steps that carry rows: proposed in order, some ahead of those that are applied."""

    def __init__(self, restore_id: str, propose: Propose) -> None:
        self._id = restore_id
        self._propose = propose
        self._pending: deque[tuple[int, asyncio.Future[object]]] = deque()
        self._bytes_ahead = 0
        self.count = 0

    async def add(self, size: int, rows: dict[str, list[bytes]]) -> None:
        """Propose the next step, once there is room for it. Raises what an earlier one met with."""
        while self._pending and (len(self._pending) >= STEPS_AHEAD or self._bytes_ahead + size > BYTES_AHEAD):
            await self._await_first()
        request = RestoreRequest(op=RestoreOp.ROWS, id=self._id, number=self.count, rows=rows)
        self._pending.append((size, asyncio.ensure_future(self._propose(request))))
        self._bytes_ahead += size
        self.count += 1
        await asyncio.sleep(0)

    async def settle(self) -> None:
        """Wait for all of them."""
        while self._pending:
            await self._await_first()

    async def _await_first(self) -> None:
        size, step = self._pending.popleft()
        self._bytes_ahead -= size
        await step

    async def give_up(self) -> None:
        """Have the servers forget what they have staged, as far as they can be told."""
        await asyncio.gather(*(step for _, step in self._pending), return_exceptions=True)
        try:
            await self._propose(RestoreRequest(op=RestoreOp.ABORT, id=self._id))
        except ConsulKernelError:
            pass  # the next leader sees to it
