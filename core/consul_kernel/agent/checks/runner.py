"""A check being carried out: what all kinds have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from consul_kernel.structs.check import CheckStatus

Report = Callable[[CheckStatus, str], None]
"""Takes a check's new status and output; called in the agent's event loop."""


class CheckRunner(Protocol):
    """Carries out one check from `start` to `stop`, reporting each outcome."""

    @property
    def shown_type(self) -> str:
        """What `Type` shows of the check."""
        ...

    @property
    def runs_commands(self) -> bool:
        """Whether its definition says which commands are run."""
        ...

    def start(self) -> None:
        """Begin. Called once, in the event loop."""
        ...

    def stop(self) -> None:
        """End; no report comes after this. Idempotent."""
        ...
