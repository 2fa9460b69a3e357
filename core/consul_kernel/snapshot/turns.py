"""Long work in the event loop, in short turns: everybody else waits for one of them at most."""

from __future__ import annotations

import asyncio
import time

TURN_S = 0.004


class Turn:
    """Begins when it is made."""

    __slots__ = ("_end_s",)

    def __init__(self) -> None:
        self._end_s = time.perf_counter() + TURN_S

    @property
    def is_over(self) -> bool:
        """Whether it is time to `pass_on`."""
        return time.perf_counter() >= self._end_s

    async def pass_on(self) -> None:
        """Let everybody else have their turn, then begin another."""
        await asyncio.sleep(0)
        self.begin()

    def begin(self) -> None:
        """Begin another, after a wait for something else."""
        self._end_s = time.perf_counter() + TURN_S
