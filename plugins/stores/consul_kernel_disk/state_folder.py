"""Opening and closing the state's folder, such that a state torn by a crash of the machine is never used.

While the state is open a marker holds the machine's boot id. Commits are not flushed, so after a crash of the
*process* they are whole (the operating system's cache lives on), after a crash of the *machine* they may not
be. A marker of another boot tells the two apart; the state is then discarded and built again from the
newest snapshot and the log.
"""

from __future__ import annotations

import logging
from pathlib import Path

import lmdb

from .files import Files
from .state import DiskState
from .writer import TEMPORARY_SUFFIX

logger = logging.getLogger(__name__)

MARKER = "open"
DAMAGED = "damaged"
"""In the place of a boot id: no boot's."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def read_boot_id(path: Path = BOOT_ID) -> str:
    """What tells this boot of the machine from every other; empty where the system does not say."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


class StateFolder:
    """The folder that `state` lives in."""

    def __init__(self, folder: Path, files: Files, state: DiskState, boot_id: str | None) -> None:
        self._folder = folder
        self._files = files
        self._state = state
        self._given_boot_id = boot_id
        self._boot_id = ""
        self._marker = folder / MARKER
        self._opened = False
        self._damaged = False

    def open(self) -> None:
        """Open the state, discarding it first where it cannot be trusted. Raises OSError and lmdb.Error."""
        self._boot_id = read_boot_id() if self._given_boot_id is None else self._given_boot_id
        self._files.make_folder(self._folder)
        if not self._trusted():
            self._discard("the machine stopped while it was open, or it was damaged")
        self._mark(self._boot_id or "unknown")
        try:
            self._state.open()
        except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.PageNotFoundError) as error:
            self._discard(str(error))
            self._state.open()
        self._opened = True

    def distrust(self) -> None:
        """What was read of the state is not what was written: the next start builds it again."""
        if self._opened and not self._damaged:
            self._damaged = True
            logger.error("%s: the state is damaged; the next start builds it again", self._folder)
            try:
                self._mark(DAMAGED)
            except OSError as error:
                logger.error("%s: this could not be noted: %s", self._marker, error)

    def has_state(self) -> bool:
        """Whether a state was ever opened here; the log is begun before that."""
        return bool(self._state_files())

    def close(self) -> None:
        """Flush the state, then remove the marker; one that a crash left stays until a start has acted on it."""
        self._state.close()
        if self._opened:
            self._opened = False
            if self._damaged:
                return
            self._files.remove(self._marker)
            self._files.flush_folder(self._folder)

    def _trusted(self) -> bool:
        try:
            marker = self._marker.read_text().strip()
        except FileNotFoundError:
            return True
        return bool(self._boot_id) and marker == self._boot_id

    def _discard(self, why: str) -> None:
        found = self._state_files()
        if not found:
            return
        logger.warning("%s: building the state again from snapshot and log: %s", self._folder, why)
        for path in found:
            self._files.remove(path)
        self._files.flush_folder(self._folder)

    def _state_files(self) -> list[Path]:
        return [path for path in self._folder.glob("*.mdb") if path.is_file()]

    def _mark(self, text: str) -> None:
        """Durable before the state's first page can be; at no moment is there none where there was one."""
        data = text.encode()
        temporary = self._marker.with_suffix(TEMPORARY_SUFFIX)
        if temporary.exists():
            self._files.remove(temporary)
        descriptor = self._files.create(temporary, len(data))
        try:
            self._files.write(descriptor, data, 0)
            self._files.flush(descriptor)
        finally:
            self._files.close(descriptor)
        self._files.rename(temporary, self._marker)
        self._files.flush_folder(self._folder)
