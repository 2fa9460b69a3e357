"""A file without a name, where a state waits between being made and being written, or being received and believed."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from .archive import ArchiveError

P = ParamSpec("P")
T = TypeVar("T")

PIECE_BYTES = 256 * 1024
SPARE_BYTES = 64 * 1024 * 1024
"""Room on the disk that a spool leaves to others."""


class Spool:
    """Append first, then read from the start. All methods but `aclose` are for a thread (see `in_thread`).

    The file lies in `folder`, or where the system has its temporary files; it is gone with the process.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._is_over = False
        self._digest = hashlib.sha256()
        self.size = 0

    def open(self) -> None:
        """Make the file. Raises OSError. Whoever waits for it may be gone: what comes too late is closed here."""
        self._file = file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `aclose`
        if self._is_over:
            file.close()

    def room(self) -> int:
        """How many bytes may be appended before the disk becomes tight."""
        return max(0, shutil.disk_usage(self._folder or tempfile.gettempdir()).free - SPARE_BYTES)

    def append(self, piece: bytes) -> None:
        """Add bytes."""
        self._live().write(piece)
        self._digest.update(piece)
        self.size += len(piece)

    def digest(self) -> bytes:
        """SHA-256 of all that was appended."""
        return self._digest.digest()

    def pieces(self) -> Iterator[bytes]:
        """All that was appended, from the start, in pieces of PIECE_BYTES."""
        file = self._live()
        file.seek(0)
        while piece := file.read(PIECE_BYTES):
            yield piece

    async def aclose(self) -> None:
        """Let go of the file, also of one that is only being made, and also if this is cancelled. Idempotent."""
        self._is_over = True
        file, self._file = self._file, None
        if file is not None:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, file.close))

    def _live(self) -> BinaryIO:
        if self._file is None:
            raise ArchiveError("the snapshot was given up")
        return self._file


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what waits for the disk, or keeps a core busy without Python's lock, beside the event loop.

    ArchiveError for what the operating system refuses.
    """
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as error:
        raise ArchiveError(f"failed to read or write snapshot data: {error.strerror or error}") from error
