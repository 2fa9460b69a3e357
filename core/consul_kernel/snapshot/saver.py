"""Saving: from the state of this moment to an archive, while commands go on being applied.

The description comes before the state in an archive, and has its size; so the state's records are written to a spool
first, and packed from there, as the receiver takes them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from consul_kernel.contracts.consensus import Configuration
from consul_kernel.contracts.errors import CorruptStoreError, StoreError
from consul_kernel.state.machine import ReplicatedState

from .archive import ArchiveMeta, describe, write_archive
from .saving import state_records
from .spool import PIECE_BYTES, Spool, in_thread
from .turns import Turn

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3


class SavedState:
    """A state in a spool, ready to be packed. Close it in every case."""

    def __init__(self, meta: ArchiveMeta, spool: Spool) -> None:
        self.meta = meta
        self._spool = spool

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The archive's bytes, once. ArchiveError when the spool fails."""
        written = write_archive(self.meta, self._spool.pieces(), self._spool.digest(), now_s=int(time.time()))
        while (piece := await in_thread(lambda: next(written, None))) is not None:
            if piece:
                yield piece

    async def aclose(self) -> None:
        """Let go of the spool. Idempotent."""
        await self._spool.aclose()


async def save_state(
    state: ReplicatedState, *, term: int, configuration: Configuration, spool_folder: Path | None
) -> SavedState:
    """Write the records of the state as it is now to a spool. Raises ArchiveError or StoreError.

    A store that has to end the view of the state (contract, V4) gives another, MAX_ATTEMPTS times in all.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        spool = Spool(spool_folder)
        try:
            index = await _write_records(state, spool)
        except StoreError as error:
            await spool.aclose()
            if attempt == MAX_ATTEMPTS or isinstance(error, CorruptStoreError):
                raise
            logger.info("saving begins anew: %s", error)
        except BaseException:
            await spool.aclose()
            raise
        else:
            meta = describe(index, term, configuration, now_ms=time.time_ns() // 1_000_000)
            return SavedState(msgspec.structs.replace(meta, size=spool.size), spool)
    raise AssertionError("the last attempt raises or returns")


async def _write_records(state: ReplicatedState, spool: Spool) -> int:
    """Fill a spool; the index of the state in it. The state is frozen before the first wait."""
    frozen = state.freeze()
    try:
        await in_thread(spool.open)
        buffer, turn = bytearray(), Turn()
        for record in state_records(frozen.reader, frozen.index):
            buffer += record
            if len(buffer) >= PIECE_BYTES:
                piece, buffer = bytes(buffer), bytearray()
                await in_thread(spool.append, piece)
                turn.begin()
            elif turn.is_over:
                await turn.pass_on()
        await in_thread(spool.append, bytes(buffer))
    finally:
        frozen.close()
    return frozen.index
