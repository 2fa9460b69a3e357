"""Who waits for the end of the driver's next turn."""

from __future__ import annotations

import asyncio


class TurnWaiters:
    """One future for each waiter; the end of a turn, or of the server, releases all."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    async def next(self, timeout_ms: int = 1000) -> None:
        """Wait for the end of the next turn, or for `timeout_ms`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await asyncio.wait([future], timeout=max(1, timeout_ms) / 1000)

    def release(self) -> None:
        """A turn has ended."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)
