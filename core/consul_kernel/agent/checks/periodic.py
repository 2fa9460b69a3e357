"""Checks that ask: every interval, from a random moment in the first one, and never two at once."""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod

from consul_kernel.structs.check import CheckDefinition, CheckStatus

from .runner import Report
from .thresholds import Thresholds

logger = logging.getLogger(__name__)

MIN_INTERVAL_S = 1.0
"""Consul's floor: a shorter interval is lengthened to it."""
DEFAULT_TIMEOUT_S = 10.0


class PeriodicRunner(ABC):
    """Base of the kinds that probe something; a subclass says how, in `probe`."""

    default_timeout_s = DEFAULT_TIMEOUT_S

    def __init__(self, definition: CheckDefinition, report: Report, rng: random.Random) -> None:
        self._definition = definition
        self._thresholds = Thresholds(definition, report)
        self._rng = rng
        self._interval_s = max(definition.interval / 1e9, MIN_INTERVAL_S)
        self._timeout_s = definition.timeout / 1e9 if definition.timeout > 0 else self.default_timeout_s
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def probe(self) -> tuple[CheckStatus, str]:
        """Ask once, within the timeout; raise nothing but OSError and TimeoutError."""

    def start(self) -> None:
        """Begin, at a random moment of the first interval, so that many checks spread out."""
        self._task = asyncio.create_task(self._run(), name=f"check {self._definition.id}")

    def stop(self) -> None:
        """End, also a probe that is under way."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._rng.random() * self._interval_s
        while True:
            await asyncio.sleep(due_s - loop.time())
            try:
                async with asyncio.timeout(self._timeout_s):
                    status, output = await self.probe()
            except TimeoutError:
                status, output = CheckStatus.CRITICAL, self.timeout_output()
            except OSError as error:
                status, output = CheckStatus.CRITICAL, str(error)
            except Exception as error:
                logger.exception("check %s failed to run", self._definition.id)
                status, output = CheckStatus.CRITICAL, f"the check could not be run: {error}"
            self._thresholds.observe(status, output)
            due_s = max(due_s + self._interval_s, loop.time())

    def timeout_output(self) -> str:
        """What a probe that took too long shows."""
        return f"context deadline exceeded (no answer within {self._timeout_s:g}s)"
