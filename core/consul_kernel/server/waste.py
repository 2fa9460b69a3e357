"""Rows of a state that was replaced are removed bit by bit, so that nobody waits for it."""

from __future__ import annotations

import asyncio
import logging

from consul_kernel.contracts.errors import StoreError
from consul_kernel.state.machine import ReplicatedState

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 512
PAUSE_S = 0.01
RETRY_S = 60.0


class WasteRemover:
    """Works whenever the state says that there is waste. Every server does this for itself."""

    def __init__(self, state: ReplicatedState) -> None:
        self._state = state
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="waste")

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._state.waste.wait()
            try:
                while self._state.remove_waste(ROWS_AT_ONCE):
                    await asyncio.sleep(PAUSE_S)
            except StoreError as error:
                logger.warning("rows of a former state could not be removed: %s", error)
                await asyncio.sleep(RETRY_S)
