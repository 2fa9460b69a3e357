"""Collects what agents tell of their coordinates, so that thousands of them cost a few log entries in each period.

Source: Consul's `agent/consul/coordinate_endpoint.go`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.structs.coordinate import CoordinateBatch, NodeCoordinate

logger = logging.getLogger(__name__)

PERIOD_S = 5.0
BATCH_UPDATES = 128
MAX_BATCHES = 5
"""In each period. Updates beyond are dropped: the next ones come in seconds."""


class CoordinateUpdates:
    """The newest update of each agent waits for the end of the period that the first one begins."""

    def __init__(self, propose: Callable[[CoordinateBatch], Awaitable[object]]) -> None:
        """`propose` orders a batch; that it fails is logged, since the updates come again."""
        self._propose = propose
        self._waiting: dict[tuple[str, str], NodeCoordinate] = {}
        self._dropped = 0
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False

    def add(self, update: NodeCoordinate) -> None:
        """Take an update in place of the agent's one before; none after the end."""
        if self._closed:
            return
        key = update.node.lower(), update.segment.lower()
        if key not in self._waiting and len(self._waiting) >= BATCH_UPDATES * MAX_BATCHES:
            self._dropped += 1
            return
        self._waiting[key] = update
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="coordinates")

    async def aclose(self) -> None:
        """Drop what waits, and what is still to come."""
        self._closed = True
        self._waiting.clear()
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)

    async def _flush(self) -> None:
        try:
            await asyncio.sleep(PERIOD_S)
            updates, dropped = list(self._waiting.values()), self._dropped
            self._waiting.clear()
            self._dropped = 0
            if dropped:
                logger.warning("%d updates of coordinates were dropped, more than %d came", dropped, len(updates))
            for start in range(0, len(updates), BATCH_UPDATES):
                await self._propose(CoordinateBatch(updates=updates[start : start + BATCH_UPDATES]))
        except ConsulKernelError as error:
            logger.info("coordinates were not updated: %s", error)
        except Exception:
            logger.exception("coordinates were not updated")
        finally:
            self._flushing = None
            if self._waiting:
                self._flushing = asyncio.create_task(self._flush(), name="coordinates")
