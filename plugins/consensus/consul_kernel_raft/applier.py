"""What is committed is applied, in order, and whoever waits for it is answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from consul_kernel.contracts.consensus import StateMachine
from consul_kernel.contracts.errors import StoreFullError
from consul_kernel.contracts.store import LogEntry

from .core import Event, OutOfRoom, Raft, RoomAgain
from .core.entry import EntryKind
from .core.room import STATE
from .meters import Meters
from .proposals import ProposalQueue

_log = logging.getLogger(__name__)
RETRY_S = 0.5


class Applier:
    """Feeds the state machine. Where that has no room, the entries wait, and are tried again every half second."""

    def __init__(
        self, machine: StateMachine, queue: ProposalQueue, post: Callable[[Event], None], meters: Meters
    ) -> None:
        self._machine = machine
        self._queue = queue
        self._post = post
        self._meters = meters
        self._is_full = False
        self._retry: asyncio.TimerHandle | None = None

    def apply(self, raft: Raft, committed: Sequence[LogEntry]) -> None:
        """Apply entries that follow what was applied, and answer those who wait for them."""
        last_index = committed[-1].index
        commands = [(entry.index, entry.data) for entry in committed if entry.kind == EntryKind.COMMAND]
        begun_s = time.perf_counter()
        try:
            results = self._machine.apply(commands) if commands else ()
        except StoreFullError as error:
            self._wait_for_room(raft, error)
            return
        if commands:
            self._applied(len(commands), (time.perf_counter() - begun_s) * 1000)
        if self._is_full:
            self._is_full = False
            _log.info("raft: there is room for the state again")
        if committed[-1].kind != EntryKind.COMMAND:
            self._machine.advance(last_index)
        raft.advance(last_index)
        if not len(self._queue):
            return
        answers = iter(results)
        for entry in committed:
            self._queue.resolve(entry.index, next(answers) if entry.kind == EntryKind.COMMAND else None)

    def _applied(self, count: int, taken_ms: float) -> None:
        self._meters.apply.add(taken_ms / count, count)
        self._meters.apply_batch.add(taken_ms)
        self._meters.apply_batch_size.set(count)

    def _wait_for_room(self, raft: Raft, error: StoreFullError) -> None:
        if not self._is_full:
            self._is_full = True
            _log.error("raft: this server applies nothing until there is room: %s", error)
        raft.step(OutOfRoom(STATE), raft.stepped_ms)
        self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._post, RoomAgain(STATE))

    def close(self) -> None:
        """Try no more."""
        if self._retry is not None:
            self._retry.cancel()
