"""Thresholds: a check must succeed or fail several times in a row before its state follows."""

from __future__ import annotations

from consul_kernel.structs.check import CheckDefinition, CheckStatus

from .runner import Report


class Thresholds:
    """Passes outcomes on once `success_before_passing`, `failures_before_warning` or `…_critical` are reached.

    The first outcome counts at once, whichever it is, as in Consul: its predecessors are not known.
    """

    def __init__(self, definition: CheckDefinition, report: Report) -> None:
        self._report = report
        self._success_before_passing = definition.success_before_passing
        self._before_critical = definition.failures_before_critical
        self._before_warning = definition.failures_before_warning or definition.failures_before_critical
        self._successes = self._success_before_passing
        self._failures = self._before_critical

    def observe(self, status: CheckStatus, output: str) -> None:
        """Take one outcome into account."""
        if status is not CheckStatus.CRITICAL:
            self._successes += 1
            self._failures = 0
            if self._successes >= self._success_before_passing:
                self._report(status, output)
            return
        self._failures += 1
        self._successes = 0
        if self._failures >= self._before_critical:
            self._report(CheckStatus.CRITICAL, output)
        elif self._failures >= self._before_warning:
            self._report(CheckStatus.WARNING, output)
