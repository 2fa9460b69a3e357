"""The program that runs while a lock is held."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from threading import Thread

KILL_GRACE_S = 5.0
"""How long a child may take to end after SIGTERM; then comes SIGKILL."""
HELD_VARIABLE = "CONSUL_LOCK_HELD"


class Child:
    """A process that is told apart from ours only by CONSUL_LOCK_HELD. OSError where it cannot be started."""

    def __init__(self, arguments: Sequence[str], *, shell: bool, pass_stdin: bool, on_exit: Callable[[], None]) -> None:
        command = [os.environ.get("SHELL") or "/bin/sh", "-c", " ".join(arguments)] if shell else list(arguments)
        self._process = subprocess.Popen(
            command,
            stdin=None if pass_stdin else subprocess.DEVNULL,
            env={**os.environ, HELD_VARIABLE: "true"},
        )
        Thread(target=self._wait, args=(on_exit,), name="child", daemon=True).start()

    def _wait(self, on_exit: Callable[[], None]) -> None:
        self._process.wait()
        on_exit()

    def end(self) -> None:
        """Make it end, and wait until it has."""
        self._process.terminate()
        try:
            self._process.wait(KILL_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return bool(self._process.returncode)
