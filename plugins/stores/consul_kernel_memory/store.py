"""The three parts under one life."""

from __future__ import annotations

from .log import MemoryLog
from .snapshots import MemorySnapshots
from .state import MemoryState


class MemoryStore:
    """A `Store` that holds everything in memory. A closed one stays closed: nothing outlives it."""

    def __init__(self) -> None:
        self._state = MemoryState()
        self._log = MemoryLog()
        self._snapshots = MemorySnapshots()

    @property
    def state(self) -> MemoryState:
        return self._state

    @property
    def log(self) -> MemoryLog:
        return self._log

    @property
    def snapshots(self) -> MemorySnapshots:
        return self._snapshots

    async def start(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        """Let go of everything."""
        self._state.close()
        self._log.close()
        self._snapshots.close()
