"""An asyncio event loop whose clock jumps to the next timer instead of waiting for it.

Real drivers run on it unchanged, an hour passes in milliseconds, and the same program takes the same course
every time. It uses asyncio's public parts only: a selector passed to `SelectorEventLoop`, and `time`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

ResultT = TypeVar("ResultT")
ArgumentsT = TypeVarTuple("ArgumentsT")
FileObject = Any
ReadyKeys = list[tuple[selectors.SelectorKey, int]]

DEFAULT_LIMIT_S = 24 * 3600.0


class VirtualDeadlockError(RuntimeError):
    """Every task waits, no timer is set and no thread is at work: nothing can ever happen again."""


class VirtualTimeLimitError(RuntimeError):
    """The program was still running when the virtual clock reached its limit."""


class _VirtualSelector(selectors.BaseSelector):
    """Polls real descriptors without waiting; time that asyncio wants to wait is added to the clock."""

    def __init__(self, limit_s: float) -> None:
        self._real = selectors.DefaultSelector()
        self._limit_s = limit_s
        self.now_s = 0.0
        self.threads_at_work = 0

    def register(self, fileobj: FileObject, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileObject) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: FileObject, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[FileObject, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> ReadyKeys:
        if self.threads_at_work:
            # A thread's result arrives through a descriptor; the clock stands still meanwhile.
            return self._real.select(0 if timeout is not None and timeout <= 0 else None)
        ready = self._real.select(0)
        if ready:
            return ready
        if timeout is None:
            raise VirtualDeadlockError(f"at {self.now_s:.3f} s every task waits for another: {_waiting()}")
        if timeout > 0:
            self.now_s += timeout
            if self.now_s > self._limit_s:
                raise VirtualTimeLimitError(f"not done after {self._limit_s:g} s of virtual time: {_waiting()}")
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop at virtual time 0. Work given to threads is waited for in real time."""

    def __init__(self, *, limit_s: float = DEFAULT_LIMIT_S) -> None:
        self._virtual = _VirtualSelector(limit_s)
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._virtual.now_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[ArgumentsT]], ResultT], *args: *ArgumentsT
    ) -> asyncio.Future[ResultT]:
        """As asyncio's own, but the clock stands still until the thread is done."""
        self._virtual.threads_at_work += 1
        try:
            future = super().run_in_executor(executor, func, *args)
        except BaseException:
            self._virtual.threads_at_work -= 1
            raise
        future.add_done_callback(self._on_thread_done)
        return future

    def _on_thread_done(self, future: asyncio.Future[Any]) -> None:
        self._virtual.threads_at_work -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """As asyncio's own; the threads end in real time, so `timeout` has no meaning here."""
        self._virtual.threads_at_work += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._virtual.threads_at_work -= 1

    def now_ms(self) -> int:
        """The clock in whole milliseconds, for parts that are given one."""
        return round(self._virtual.now_s * 1000)


def run_virtual(coroutine: Coroutine[Any, Any, ResultT], *, limit_s: float = DEFAULT_LIMIT_S) -> ResultT:
    """Run to completion on a fresh loop; tasks left behind are cancelled.

    Raises VirtualDeadlockError when nothing can go on, VirtualTimeLimitError after `limit_s` virtual seconds.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(limit_s=limit_s)) as runner:
        return runner.run(coroutine)


def virtual_now_ms() -> int:
    """Milliseconds on the running loop's clock, virtual or not."""
    return round(asyncio.get_running_loop().time() * 1000)


def virtual_now_us() -> int:
    """Microseconds on the same clock."""
    return round(asyncio.get_running_loop().time() * 1_000_000)


def _waiting() -> str:
    loop = asyncio.get_running_loop()
    names = sorted(
        f"{task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')})" for task in asyncio.all_tasks(loop)
    )
    return ", ".join(names) or "no task is left"
