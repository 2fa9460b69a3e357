"""The three parts under one path and one life."""

from __future__ import annotations

from pathlib import Path

import lmdb

from consul_kernel.contracts.errors import CorruptStoreError, PluginStartError, StoreError
from consul_kernel.contracts.store import StoreContext

from .config import DiskConfig
from .files import Files
from .lock import FolderLock
from .log import DiskLog
from .segment import REMEDY
from .snapshots import DiskSnapshots
from .state import DiskState
from .state_folder import StateFolder


class DiskStore:
    """A `Store` under `path`: `raft/log/`, `raft/snapshots/` and `state/`."""

    def __init__(
        self, context: StoreContext, config: DiskConfig, files: Files | None = None, boot_id: str | None = None
    ) -> None:
        self._path = Path(config.path) if config.path else context.data_dir
        folder = self._path or Path()
        self._files = files = files or Files()
        self._state = DiskState(folder / "state", map_bytes=config.map_bytes, on_damage=self._state_is_damaged)
        self._state_folder = StateFolder(folder / "state", files, self._state, boot_id)
        self._log = DiskLog(
            folder / "raft" / "log",
            files,
            segment_bytes=config.segment_bytes,
            cache_bytes=config.log_cache_bytes,
        )
        self._snapshots = DiskSnapshots(folder / "raft" / "snapshots", files, retained=config.snapshots_retained)
        self._lock: FolderLock | None = None

    @property
    def state(self) -> DiskState:
        return self._state

    @property
    def log(self) -> DiskLog:
        return self._log

    @property
    def snapshots(self) -> DiskSnapshots:
        return self._snapshots

    async def start(self) -> None:
        """Lock the path, then recover snapshots, log and state."""
        if self._path is None:
            raise PluginStartError(
                'store "disk" has no path: set data_dir, or path in the store\'s block, or choose store "memory" {}'
            )
        try:
            self._files.make_folder(self._path)
            lock = FolderLock(self._path)
            lock.acquire()
            self._lock = lock
            await self._open()
        except BaseException as error:
            await self.aclose()
            if isinstance(error, OSError):
                raise PluginStartError(f"{error.filename or self._path}: {error.strerror or error}") from error
            if isinstance(error, lmdb.Error | MemoryError):
                raise PluginStartError(f"{self._path / 'state'}: {error}") from error
            if isinstance(error, StoreError) and not isinstance(error, CorruptStoreError):
                raise PluginStartError(str(error)) from error
            raise

    async def aclose(self) -> None:
        """Flush and let go, in the order that leaves a clean state last."""
        await self._log.aclose()
        await self._snapshots.aclose()
        lock, self._lock = self._lock, None
        if lock is None:
            return
        try:
            self._state_folder.close()
        except (OSError, lmdb.Error) as error:
            raise StoreError(f"{self._path}: the state could not be flushed: {error}") from error
        finally:
            lock.release()

    def _state_is_damaged(self) -> None:
        self._state_folder.distrust()

    async def _open(self) -> None:
        await self._snapshots.start()
        if not self._log.exists():
            if self._snapshots.list():
                raise CorruptStoreError(
                    f"{self._path}: there are snapshots in raft/snapshots but no log in raft/log, and with it this "
                    f"server's vote is lost; {REMEDY}"
                )
            if self._state_folder.has_state():
                raise CorruptStoreError(
                    f"{self._path}: there is a state in state/ but no log in raft/log, and with it this server's vote "
                    f"is lost; {REMEDY}"
                )
        await self._log.start()
        self._state_folder.open()
