"""A check that was registered once and cannot be carried out any more: its plugin is gone, or does not work."""

from __future__ import annotations

from consul_kernel.structs.check import CheckDefinition, CheckStatus

from .kinds import check_kind
from .runner import Report


class UnavailableRunner:
    """Critical, with the reason; the registration stays, for the plugin to be installed again."""

    runs_commands = False

    def __init__(self, definition: CheckDefinition, report: Report, reason: str) -> None:
        self.shown_type = check_kind(definition)
        self._report = report
        self._reason = reason

    def start(self) -> None:
        """Say so."""
        self._report(CheckStatus.CRITICAL, f"this check cannot be carried out: {self._reason}")

    def stop(self) -> None:
        """Nothing runs."""
