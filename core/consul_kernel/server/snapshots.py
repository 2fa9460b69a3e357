"""What a server does with archives of the whole state: it makes them, and as the leader it restores them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from consul_kernel.contracts.errors import ConsulKernelError, RpcError
from consul_kernel.contracts.interface import SavedSnapshot
from consul_kernel.snapshot.pieces import Pieces
from consul_kernel.snapshot.restorer import ReceivedArchive, receive, restore
from consul_kernel.snapshot.saver import save_state
from consul_kernel.state.commands import CommandType
from consul_kernel.state.restore import RestoreOp, RestoreRequest
from consul_kernel.structs.snapshot import SnapshotRequest, SnapshotResponse

from .endpoints import EndpointContext
from .endpoints.blocking import describe
from .endpoints.verifying import verify_leader

logger = logging.getLogger(__name__)

MAX_SAVES = 4
"""Archives that are made or sent at one time; another one is refused."""
MAX_ARRIVING = 4
"""Archives that are received at one time; one of them is restored at a time."""
BARRIER_TIMEOUT_MS = 120_000
UNDER_WAY = "another snapshot is being restored"


class ServerSnapshots:
    """Implements `snapshot.dispatch.LocalSnapshots`.

    `on_restored` is awaited after a restore: what the leader does at the start of its leadership, it does again.
    """

    def __init__(
        self, *, context: EndpointContext, spool_folder: Path | None, on_restored: Callable[[], Awaitable[None]]
    ) -> None:
        self._context = context
        self._spool_folder = spool_folder
        self._on_restored = on_restored
        self._saves = 0
        self._arriving = 0
        self._restoring: asyncio.Task[None] | None = None

    # --- saving ---

    async def save(self, request: SnapshotRequest) -> SavedSnapshot:
        """An archive of the state of this moment. RpcError, ArchiveError or StoreError."""
        if not request.allow_stale:
            await verify_leader(self._context.consensus, self._context.hold_timeout_ms)
        if self._saves >= MAX_SAVES:
            raise RpcError(f"{MAX_SAVES} snapshots are being saved already")
        # Told before the state is frozen: the answer may look older than it is, never newer.
        response = describe(self._context, SnapshotResponse())
        if not self._context.state.index:
            raise RpcError("Raft error when taking snapshot: nothing new to snapshot")
        self._saves += 1
        try:
            saved = await save_state(
                self._context.state,
                term=self._context.consensus.status().term,
                configuration=self._context.consensus.configuration,
                spool_folder=self._spool_folder,
            )
        except BaseException:
            self._saves -= 1
            raise
        response.index = saved.meta.index
        logger.info("snapshot %s saved: %d bytes of state", saved.meta.id, saved.meta.size)

        async def close() -> None:
            self._saves -= 1
            await saved.aclose()

        return SavedSnapshot(response, Pieces(saved.pieces(), close))

    # --- restoring ---

    async def restore(self, archive: AsyncIterator[bytes]) -> None:
        """Replace the state of all servers. Once the archive is verified this goes on, whether or not anybody waits.

        RpcError or ArchiveError; nothing was replaced then, unless the text says that the outcome is unknown.
        """
        if self._arriving >= MAX_ARRIVING or self._is_restoring():
            raise RpcError(UNDER_WAY)
        self._arriving += 1
        try:
            received = await receive(archive, spool_folder=self._spool_folder)
        finally:
            self._arriving -= 1
        # A client that sends slowly keeps nobody else from restoring.
        if self._is_restoring():
            await received.aclose()
            raise RpcError(UNDER_WAY)
        self._restoring = asyncio.create_task(self._replace(received), name="restore")
        self._restoring.add_done_callback(self._finished)
        await asyncio.shield(self._restoring)

    def _is_restoring(self) -> bool:
        return self._restoring is not None

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._restoring = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("a snapshot was not restored: %s", error)

    async def _replace(self, received: ReceivedArchive) -> None:
        meta = received.meta
        logger.info("restoring snapshot %s: %d bytes of state up to index %d", meta.id, meta.size, meta.index)
        try:
            loaded = await restore(received, self._propose)
        finally:
            await received.aclose()
        logger.info("snapshot %s restored: %d records", meta.id, loaded.counts.total())
        if loaded.unserved:
            names = ", ".join(loaded.unserved_names())
            logger.warning("snapshot %s has records that this version keeps, but does not act on: %s", meta.id, names)
        try:
            await self._context.consensus.barrier(timeout_ms=BARRIER_TIMEOUT_MS)
            await self._on_restored()
        except ConsulKernelError as error:
            logger.warning("after the restore: %s", error)

    async def _propose(self, request: RestoreRequest) -> object:
        return await self._context.propose(CommandType.RESTORE, request, refused="Raft error when restoring snapshot: ")

    async def abandon(self) -> None:
        """Have the servers forget what an earlier leader has staged and can complete no more. RpcError."""
        if not self._is_restoring() and self._context.state.restore_under_way():
            logger.warning("a restore that an earlier leader had begun is given up; nothing was replaced")
            await self._propose(RestoreRequest(op=RestoreOp.ABORT))

    async def aclose(self) -> None:
        """Give up what is under way. Idempotent."""
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.gather(self._restoring, return_exceptions=True)
