"""One folder, two databases: the state in one, log and snapshots in the other."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from consul_kernel.contracts.errors import CorruptStoreError, PluginStartError, StoreError

from .log import ToyLog
from .snapshots import ToySnapshots
from .state import ToyState

T = TypeVar("T")


def connect(path: Path) -> sqlite3.Connection:
    """A connection on which transactions are begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


class Database:
    """A database that is used in one thread, off the event loop."""

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def open(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._connection = connect(path)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do one transaction."""
        connection, thread = self._connection, self._thread
        if connection is None or thread is None:
            raise StoreError("the store is closed")

        def transaction() -> T:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                return work(connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(thread, transaction)
        except sqlite3.Error as error:
            raise StoreError(f"SQLite: {error}") from error

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=True)
        if connection is not None:
            connection.close()


class ToyStore:
    """A `Store` on SQLite."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._database = Database()
        self._state = ToyState()
        self._log = ToyLog(self._database)
        self._snapshots = ToySnapshots(self._database)
        self._lock = -1

    @property
    def state(self) -> ToyState:
        return self._state

    @property
    def log(self) -> ToyLog:
        return self._log

    @property
    def snapshots(self) -> ToySnapshots:
        return self._snapshots

    async def start(self) -> None:
        if self._folder is None:
            raise PluginStartError('store "toy" needs a data_dir')
        try:
            self._acquire(self._folder)
            await self._database.open(self._folder / "log.db")
            self._state.open(self._folder / "state.db", connect)
            await self._log.start()
            await self._snapshots.start()
        except sqlite3.DatabaseError as error:
            await self.aclose()
            raise CorruptStoreError(f"{self._folder}: SQLite: {error}: restore the folder from a backup") from error
        except OSError as error:
            await self.aclose()
            raise PluginStartError(f"{self._folder}: {error}") from error

    async def aclose(self) -> None:
        self._log.close()
        await self._database.aclose()
        self._state.close()
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _acquire(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
