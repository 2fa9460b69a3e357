"""What another server has applied is committed: a follower that is told so need not wait for its leader to say it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consul_kernel.contracts.consensus import LogPosition
from consul_kernel.contracts.errors import NotLeaderError

from .core import Committed, Event, Raft


class CatchingUp:
    """Capability `catch-up` of one server.

    `running` gives the algorithm, and raises NotLeaderError after its end; `take` has it take an event in at once.
    """

    def __init__(self, running: Callable[[], Raft], take: Callable[[Event], None]) -> None:
        self._running = running
        self._take = take
        self._waiting: list[tuple[LogPosition, asyncio.Future[bool]]] = []

    def applied(self) -> LogPosition | None:
        """The last entry that is applied here."""
        try:
            raft = self._running()
        except NotLeaderError:
            return None
        term = raft.log.term(raft.applied_index)
        return LogPosition(raft.applied_index, term) if term else None

    async def catch_up(self, position: LogPosition, *, timeout_ms: int) -> bool:
        """Wait until this entry is applied here. Mostly it is when it is asked for, or can be at once."""
        try:
            raft = self._running()
            if raft.applied_index < position.index and raft.has_uncommitted(position.index, position.term):
                self._take(Committed(position.index, position.term))
            if self._running().applied_index >= position.index:
                return True
        except NotLeaderError:
            return False
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((position, waiting))
        timer = loop.call_later(timeout_ms / 1000, _give_up, waiting)
        try:
            return await waiting
        finally:
            timer.cancel()

    def turned(self, raft: Raft) -> None:
        """A turn has ended: answer those who wait for what is applied, and take in what has come for others."""
        if not self._waiting:
            return
        still = []
        for position, waiting in self._waiting:
            if waiting.done():
                continue
            if raft.applied_index >= position.index:
                waiting.set_result(True)
                continue
            still.append((position, waiting))
            if raft.has_uncommitted(position.index, position.term):
                self._take(Committed(position.index, position.term))
        self._waiting = still

    def close(self) -> None:
        """Nothing more is applied."""
        for _, waiting in self._waiting:
            _give_up(waiting)


def _give_up(waiting: asyncio.Future[bool]) -> None:
    if not waiting.done():
        waiting.set_result(False)
