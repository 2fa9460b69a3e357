"""A thread that does one blocking thing after the other for an event loop.

A `ThreadPoolExecutor` of one thread takes half as long again for a hand-over and back, which every write of the
agent waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

Done = Callable[[Any, BaseException | None], None]
_Job = tuple[Callable[[], Any], Done]


class Worker:
    """Belongs to the event loop that makes it. Its queue is as long as its owner lets it be."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], Any], done: Done) -> None:
        """Call `work` in the thread, then `done(result, error)` in the event loop."""
        self._jobs.put((work, done))

    async def call(self, work: Callable[[], Any]) -> Any:
        """The result of `work`, done in the thread."""
        outcome: asyncio.Future[Any] = self._loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if outcome.done():
                return
            if error is None:
                outcome.set_result(result)
            else:
                outcome.set_exception(error)

        self.submit(work, done)
        return await outcome

    async def aclose(self) -> None:
        """Do what is queued, then end the thread."""
        await self.call(lambda: None)
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            result, error = None, None
            try:
                result = work()
            except BaseException as caught:  # noqa: BLE001 - handed to the event loop
                error = caught
            try:
                self._loop.call_soon_threadsafe(done, result, error)
            except RuntimeError:
                return  # the event loop is closed: nobody waits any more
