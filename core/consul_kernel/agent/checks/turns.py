"""How many probes run at once: enough that hosts which do not answer delay no others, and few enough for this one."""

from __future__ import annotations

import asyncio

PROBES_MAX = 512
"""Each holds a socket or two, of which a process has 1,024 by default."""
COMMANDS_MAX = 64
"""Of those that run commands: each is a process."""


class Turns:
    """A probe waits for its turn, first come first served, before its time starts to run."""

    def __init__(self, *, probes_max: int = PROBES_MAX, commands_max: int = COMMANDS_MAX) -> None:
        self._probes = asyncio.Semaphore(probes_max)
        self._commands = asyncio.Semaphore(commands_max)

    def of(self, *, runs_commands: bool) -> asyncio.Semaphore:
        """What a check's probes wait for."""
        return self._commands if runs_commands else self._probes
