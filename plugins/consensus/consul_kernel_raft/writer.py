"""What waits for the disk: writes of the algorithm, one at a time, and compaction between them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from consul_kernel.contracts.consensus import ConsensusContext
from consul_kernel.contracts.errors import StoreError, StoreFullError
from consul_kernel.contracts.store import PromptLogStore

from .core import Event, OutOfRoom, RoomAgain, Write
from .core.room import LOG
from .meters import Meters
from .snapshots import restore

_log = logging.getLogger(__name__)
RETRY_S = 0.5


class Writer:
    """Carries out a Write and says when it is done.

    Where there is no room nothing has changed, and it is tried again every half second. Any other failure is final:
    what the disk holds is unknown then.

    A write that is only an append goes to a log that can do without a task directly; all else is one task's.
    """

    def __init__(
        self,
        context: ConsensusContext,
        on_done: Callable[[int], None],
        post: Callable[[Event], None],
        on_failure: Callable[[BaseException], None],
        meters: Meters,
        leads: Callable[[], bool],
    ) -> None:
        self._meters = meters
        self._leads = leads
        self._log = context.log
        self._prompt_log = context.log if isinstance(context.log, PromptLogStore) else None
        self._snapshots = context.snapshots
        self._machine = context.state_machine
        self._on_done = on_done
        self._post = post
        self._on_failure = on_failure
        self._write: Write | None = None
        self._prompt: Write | None = None
        """The write that the log itself will say is done."""
        self._prompt_since_s = 0.0
        self._compact_to = 0
        self._is_idle = False
        """The task has nothing to do."""
        self._wake: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take work."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def begin(self, write: Write) -> None:
        """Carry out a write; there is none under way (see `Ready`)."""
        if self._prompt_log is not None and write.snapshot is None and self._is_idle:
            self._prompt, self._prompt_since_s = write, time.perf_counter()
            self._prompt_log.append_then(write.entries, write.hard_state, self._appended)
        else:
            self._write = write
            self._wake_up()

    def compact(self, index: int) -> None:
        """Forget the log up to `index`, when no write is under way."""
        self._compact_to = max(self._compact_to, index)
        self._wake_up()

    def _wake_up(self) -> None:
        if self._prompt is None and self._wake is not None and not self._wake.done():
            self._is_idle = False
            self._wake.set_result(None)

    def _appended(self, error: StoreError | None) -> None:
        """What the log says of the write that it was given directly."""
        write, self._prompt = self._prompt, None
        if write is None:
            return  # closed
        if isinstance(error, StoreFullError):
            self._write = write  # the task insists
        elif error is not None:
            self._on_failure(error)
            return
        if self._write is not None or self._compact_to >= self._log.first_index:
            self._wake_up()
        if error is None:
            self._measure(write, self._prompt_since_s)
            self._on_done(write.number)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                if self._write is not None:
                    write, self._write = self._write, None
                    await self._carry_out(write)
                    self._on_done(write.number)
                elif self._compact_to >= self._log.first_index:
                    await self._compact()
                else:
                    self._wake = loop.create_future()
                    self._is_idle = True
                    await self._wake
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._on_failure(error)
            if not isinstance(error, Exception):
                raise

    async def _carry_out(self, write: Write) -> None:
        log, snapshot = self._log, write.snapshot
        if snapshot is None:
            begun_s = time.perf_counter()
            await self._insist(lambda: log.append(write.entries, write.hard_state))
            self._measure(write, begun_s)
            return
        # The order is binding: the term first; a crash after the reset is made up for by `recover`.
        if write.hard_state is not None:
            await self._insist(lambda: log.append((), write.hard_state))
        await self._insist(lambda: log.reset(snapshot.index, snapshot.term))
        await self._insist(lambda: restore(self._machine, self._snapshots, snapshot.id, self._meters.metrics))
        if write.entries:
            await self._insist(lambda: log.append(write.entries))

    def _measure(self, write: Write, begun_s: float) -> None:
        if write.entries:
            self._meters.stored(len(write.entries), time.perf_counter() - begun_s, leads=self._leads())

    async def _insist(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do one step, as soon as there is room for it."""
        waited = False
        while True:
            try:
                await step()
                break
            except StoreFullError as error:
                if not waited:
                    _log.error("raft: this server confirms nothing until there is room: %s", error)
                    self._post(OutOfRoom(LOG))
                waited = True
            await asyncio.sleep(RETRY_S)
            if self._compact_to >= self._log.first_index:
                await self._compact()
        if waited:
            _log.info("raft: there is room for the log again")
            self._post(RoomAgain(LOG))

    async def _compact(self) -> None:
        index, self._compact_to = self._compact_to, 0
        await self._log.compact(index)

    async def aclose(self) -> None:
        """Stop. A write under way may or may not become durable."""
        self._prompt = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
