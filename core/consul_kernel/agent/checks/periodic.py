"""Checks that ask: every interval, from a random moment in the first one, and never two at once."""

from __future__ import annotations

import asyncio
import logging
import math
import random

from consul_kernel.contracts.check import OUTPUT_ALLOWANCE_BYTES, Check, JudgesTimeout, Outcome
from consul_kernel.structs.check import CheckDefinition, CheckStatus

from .kinds import STATUSES
from .output import truncated
from .runner import Report
from .thresholds import Thresholds

logger = logging.getLogger(__name__)

MIN_INTERVAL_S = 1.0
"""Consul's floor: a shorter interval is lengthened to it."""

LATE_S = 0.1
"""A probe that is later than this was held up by something that has held up others."""


class PeriodicRunner:
    """Carries out a plugin's check.

    Probes keep to the moments that the first one has set, so that checks which once were spread stay spread. When the
    agent stood still, a probe that is late by more than half of its interval is left out, though never two in a row;
    one that is less late comes at a random moment of the next half.
    """

    def __init__(
        self,
        definition: CheckDefinition,
        report: Report,
        check: Check,
        *,
        shown_type: str,
        runs_commands: bool,
        timeout_s: float,
        output_limit_bytes: int,
        turn: asyncio.Semaphore,
        rng: random.Random,
    ) -> None:
        """`turn` bounds how many probes of the agent run at once."""
        self.shown_type = shown_type
        self.runs_commands = runs_commands
        self._id = definition.id
        self._thresholds = Thresholds(definition, report)
        self._check = check
        self._interval_s = max(definition.interval / 1e9, MIN_INTERVAL_S)
        self._timeout_s = timeout_s
        self._output_limit_bytes = output_limit_bytes + OUTPUT_ALLOWANCE_BYTES
        self._turn = turn
        self._rng = rng
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, at a random moment of the first interval, so that many checks spread out."""
        self._task = asyncio.create_task(self._run(), name=f"check {self._id}")

    def stop(self) -> None:
        """End, also a probe that is under way."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._rng.random() * self._interval_s
        is_left_out = False
        while True:
            await asyncio.sleep(due_s - loop.time())
            late_s = loop.time() - due_s
            is_left_out = late_s > self._interval_s / 2 and not is_left_out
            if not is_left_out:
                if late_s > LATE_S:
                    await asyncio.sleep(self._rng.random() * self._interval_s / 2)
                async with self._turn:
                    outcome = await self._probe()
                self._thresholds.observe(outcome.status, truncated(outcome.output, self._output_limit_bytes))
            due_s = self._next_s(due_s, loop.time())

    def _next_s(self, due_s: float, now_s: float) -> float:
        """The first moment of the check's rhythm that is still to come."""
        passed = math.floor(max(0.0, now_s - due_s) / self._interval_s)
        return due_s + (passed + 1) * self._interval_s

    async def _probe(self) -> Outcome:
        """One outcome, whatever the plugin does."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return self._sound(await self._check.probe())
        except TimeoutError:
            return self._timed_out()
        except OSError as error:
            return Outcome(CheckStatus.CRITICAL, str(error))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._fault(error)
        except Exception as error:  # noqa: BLE001 - it is logged, as the plugin's
            return self._fault(error)

    def _sound(self, outcome: Outcome) -> Outcome:
        """TypeError for what is no outcome."""
        if not isinstance(outcome, Outcome) or outcome.status not in STATUSES or not isinstance(outcome.output, str):
            raise TypeError(f"the probe gave {outcome!r} where an Outcome was expected")
        return outcome

    def _fault(self, error: BaseException) -> Outcome:
        logger.error("check %s failed to run", self._id, exc_info=error)
        return Outcome(CheckStatus.CRITICAL, f"the check could not be run: {str(error) or type(error).__name__}")

    def _timed_out(self) -> Outcome:
        if isinstance(self._check, JudgesTimeout):
            try:
                return self._sound(self._check.timed_out())
            except Exception as error:  # noqa: BLE001 - it is logged, as the plugin's
                return self._fault(error)
        return Outcome(CheckStatus.CRITICAL, f"context deadline exceeded (no answer within {self._timeout_s:g}s)")
