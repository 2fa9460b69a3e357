"""Keeps the snapshot file in step with the core, off the event loop."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import Final

from consul_kernel.contracts.membership import GossipEvent, MemberEvent

from .snapshot import Clocks, Recalled, SnapshotLog, read_snapshot

logger = logging.getLogger("consul_kernel.swim")

_FLUSH_INTERVAL_S: Final = 0.5
_RETRY_INTERVAL_S: Final = 5.0
"""After a write that failed; the disk may stay full for days."""


class SnapshotKeeper:
    """One task, which sleeps until something is noted and writes at most twice a second.

    A write that fails is repeated, of everything, until it succeeds; the log is told when that begins, and ends.
    """

    def __init__(self, path: Path, recalled: Recalled) -> None:
        self.recalled = Recalled(dict(recalled.alive), recalled.clocks, recalled.keeps_left)
        self._path = path
        self._wanted = asyncio.Event()
        self._log = SnapshotLog(path, recalled, self._wanted.set)
        self._task: asyncio.Task[None] | None = None
        self._writing: asyncio.Future[None] | None = None
        self._complaint = ""

    @classmethod
    async def open(cls, path: Path, *, keeps_left: bool) -> SnapshotKeeper:
        """Read what is there. A file that cannot be read is reported, and replaced by the next write."""
        try:
            recalled = await asyncio.to_thread(read_snapshot, path, keeps_left=keeps_left)
        except OSError as error:
            logger.warning("the snapshot of members %s cannot be read: %s", path, error)
            recalled = Recalled(keeps_left=keeps_left)
        keeper = cls(path, recalled)
        keeper._task = asyncio.create_task(keeper._run(), name="swim-snapshot")
        return keeper

    def note(self, event: GossipEvent) -> None:
        """Something happened in the pool."""
        if isinstance(event, MemberEvent):
            self._log.note_event(event)

    def note_clocks(self, clocks: Clocks) -> None:
        self._log.note_clocks(clocks)

    def note_leave(self) -> None:
        self._log.note_leave()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            await self._flush()
            await asyncio.sleep(_RETRY_INTERVAL_S if self._complaint else _FLUSH_INTERVAL_S)

    async def _flush(self) -> None:
        """Write what is noted; one write at a time, also when the wait for it is cancelled."""
        self._wanted.clear()
        write = self._log.take()
        if write is None:
            return
        self._writing = asyncio.ensure_future(asyncio.to_thread(write))
        self._writing.add_done_callback(self._written)
        with suppress(OSError):  # `_written` has told of it
            await asyncio.shield(self._writing)

    def _written(self, writing: asyncio.Future[None]) -> None:
        error = None if writing.cancelled() else writing.exception()
        if error is not None:
            self._log.retry()
            if str(error) != self._complaint:
                logger.warning("the snapshot of members %s cannot be written: %s", self._path, error)
            self._complaint = str(error)
        elif self._complaint:
            logger.info("the snapshot of members %s is written again", self._path)
            self._complaint = ""

    async def aclose(self) -> None:
        """Write what is noted, then stop. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            if self._writing is not None:
                await asyncio.wait((self._writing,))
            await self._flush()
