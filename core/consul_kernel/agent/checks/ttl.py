"""TTL checks: the service itself says how it is, and is critical when it falls silent."""

from __future__ import annotations

import asyncio

from consul_kernel.structs.check import CheckStatus

from .kinds import TTL
from .runner import Report

TTL_EXPIRED = "TTL expired"
"""How the output of a check begins whose service fell silent."""


class TtlRunner:
    """Reports critical when `ttl_s` seconds pass without an `update`."""

    shown_type = TTL
    runs_commands = False

    def __init__(self, ttl_s: float, report: Report) -> None:
        self._ttl_s = ttl_s
        self._report = report
        self._timer: asyncio.TimerHandle | None = None
        self._last_output = ""

    def start(self) -> None:
        """Give the service its first period."""
        self._restart()

    def update(self, status: CheckStatus, output: str) -> None:
        """Pass on what the service says, and give it another period."""
        self._last_output = output
        self._restart()
        self._report(status, output)

    def remaining_s(self) -> float:
        """Seconds until it expires; 0 where it has."""
        if self._timer is None:
            return 0.0
        return max(0.0, self._timer.when() - asyncio.get_running_loop().time())

    def stop(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _restart(self) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(self._ttl_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        output = TTL_EXPIRED
        if self._last_output:
            output += f" (last output before timeout follows): {self._last_output}"
        self._report(CheckStatus.CRITICAL, output)
