"""Saving: from the state of this moment to an archive, while commands go on being applied.

The description comes before the state in an archive, and has its size; so the state's records are written to a spool
first, and packed from there, as the receiver takes them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from consul_kernel.contracts.consensus import Configuration
from consul_kernel.state.machine import ReplicatedState

from .archive import ArchiveMeta, describe, write_archive
from .saving import state_records
from .spool import PIECE_BYTES, Spool, in_thread
from .turns import Turn


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
    """Write the records of the state as it is now to a spool. Raises ArchiveError or StoreError."""
    frozen = state.freeze()
    spool = Spool(spool_folder)
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
    except BaseException:
        await spool.aclose()
        raise
    finally:
        frozen.close()
    meta = describe(frozen.index, term, configuration, now_ms=time.time_ns() // 1_000_000)
    return SavedState(msgspec.structs.replace(meta, size=spool.size), spool)
