"""Whoever waits for one of the agent's services to change."""

from __future__ import annotations

import asyncio


class ServiceWatches:
    """Waiting costs a future; a change wakes those who wait for that service, and nobody else."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def changed(self, service_id: str) -> None:
        """Wake those who wait for a service."""
        for waiter in self._waiting.pop(service_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, service_id: str, timeout_s: float) -> bool:
        """Wait until a service changes; False when the time is over first."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(service_id, set())
        waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            waiters.discard(waiter)
            if not waiters and self._waiting.get(service_id) is waiters:
                del self._waiting[service_id]
        return True
