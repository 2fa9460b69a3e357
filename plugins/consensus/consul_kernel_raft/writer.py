"""The one task that waits for the disk: writes of the algorithm, one at a time, and compaction between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consul_kernel.contracts.consensus import StateMachine
from consul_kernel.contracts.store import LogStore, SnapshotStore

from .core import Write
from .snapshots import restore


class Writer:
    """Carries out a Write and says when it is done. Any failure is final: what the disk holds is unknown then."""

    def __init__(
        self,
        log: LogStore,
        snapshots: SnapshotStore,
        machine: StateMachine,
        on_done: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._log = log
        self._snapshots = snapshots
        self._machine = machine
        self._on_done = on_done
        self._on_failure = on_failure
        self._write: Write | None = None
        self._compact_to = 0
        self._wake: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take work."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def begin(self, write: Write) -> None:
        """Carry out a write; there is none under way (see `Ready`)."""
        self._write = write
        self._wake_up()

    def compact(self, index: int) -> None:
        """Forget the log up to `index`, when no write is under way."""
        self._compact_to = max(self._compact_to, index)
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                if self._write is not None:
                    write, self._write = self._write, None
                    await self._carry_out(write)
                    self._on_done(write.number)
                elif self._compact_to >= self._log.first_index:
                    index, self._compact_to = self._compact_to, 0
                    await self._log.compact(index)
                else:
                    self._wake = loop.create_future()
                    await self._wake
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._on_failure(error)
            if not isinstance(error, Exception):
                raise

    async def _carry_out(self, write: Write) -> None:
        if write.snapshot is None:
            await self._log.append(write.entries, write.hard_state)
            return
        # The order is binding: the term first; a crash after the reset is made up for by `recover`.
        if write.hard_state is not None:
            await self._log.append((), write.hard_state)
        await self._log.reset(write.snapshot.index, write.snapshot.term)
        await restore(self._machine, self._snapshots, write.snapshot.id)
        if write.entries:
            await self._log.append(write.entries)

    async def aclose(self) -> None:
        """Stop. A write under way may or may not become durable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
