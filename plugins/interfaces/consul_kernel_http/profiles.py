"""What can be seen of a Python process from inside: stacks, what it holds, and where its time goes. All as text."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType

SAMPLE_S = 0.01
MAX_DEPTH = 128
MAX_STACKS = 20_000
"""Different stacks of one profile; those that come later are counted as `(other)`."""
MAX_TYPES = 200
MAX_TASKS = 2000


def _frames() -> Mapping[int, FrameType]:
    """What each thread is at. The underscore of the function's name is Python's warning, which debuggers may ignore."""
    return sys._current_frames()  # noqa: SLF001


def stacks() -> str:
    """The stacks of all threads, and where each task of this event loop waits; most recent call last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in _frames().items():
        text = "".join(traceback.format_stack(frame, MAX_DEPTH))
        parts.append(f"thread {names.get(ident, ident)}:\n{text}")
    tasks = asyncio.all_tasks()
    for task in sorted(tasks, key=lambda task: task.get_name())[:MAX_TASKS]:
        frames = task.get_stack(limit=MAX_DEPTH)
        lines = [f"  {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}\n" for frame in frames]
        parts.append(f"task {task.get_name()}:\n{''.join(lines)}")
    if len(tasks) > MAX_TASKS:
        parts.append(f"and {len(tasks) - MAX_TASKS} tasks more\n")
    return "\n".join(parts)


def held_types() -> str:
    """How many objects of each type the garbage collector knows, the most frequent first."""
    counted = Counter(type(held) for held in gc.get_objects())
    lines = [f"{count} {kind.__module__}.{kind.__qualname__}\n" for kind, count in counted.most_common(MAX_TYPES)]
    return f"{counted.total()} objects of {len(counted)} types\n{''.join(lines)}"


def _stack_of(frame: FrameType | None) -> str:
    names: list[str] = []
    while frame is not None and len(names) < MAX_DEPTH:
        module = frame.f_globals.get("__name__", "?")
        names.append(f"{module}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return ";".join(reversed(names))


class Profiler:
    """Looks at one thread from another, a hundred times a second: one profile at a time."""

    def __init__(self) -> None:
        self.is_busy = False

    async def profile(self, seconds: float) -> str | None:
        """Stacks of the event loop's thread, one a line, calls parted by semicolons, and how often each was seen.

        That is the collapsed form that flame graphs are drawn from. None while another profile is taken.
        """
        if self.is_busy:
            return None
        self.is_busy = True
        stopped = threading.Event()
        watched = threading.get_ident()
        try:
            return await asyncio.to_thread(sample_stacks, watched, seconds, stopped.wait)
        finally:
            stopped.set()
            self.is_busy = False


def sample_stacks(watched: int, seconds: float, wait: Callable[[float], bool]) -> str:
    """Until the time is over, or whoever asked has gone."""
    seen: Counter[str] = Counter()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s and not wait(SAMPLE_S):
        stack = _stack_of(_frames().get(watched))
        seen[stack if stack in seen or len(seen) < MAX_STACKS else "(other)"] += 1
    return "".join(f"{stack} {count}\n" for stack, count in seen.most_common())
