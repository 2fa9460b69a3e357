"""Processes that die, or stand still."""

from __future__ import annotations

import signal

from .base import Fault


class Kill(Fault):
    """`kill -9` of one server, which is started again."""

    def strike(self) -> str:
        self._server, name = self.victim()
        self._server.crash()
        return f"kill -9 {name}"

    def repair(self) -> None:
        self._server.wanted = True


class KillAll(Fault):
    """`kill -9` of all servers."""

    lasts_s = (0.2, 1.5)

    def strike(self) -> str:
        for server in self.servers.all:
            server.crash()
        return "kill -9 all"

    def repair(self) -> None:
        for server in self.servers.all:
            server.wanted = True


class Pause(Fault):
    """SIGSTOP and SIGCONT: a server that comes back believing that no time has passed."""

    lasts_s = (1.5, 6.0)

    def strike(self) -> str:
        self._server, name = self.victim()
        self._server.signal(signal.SIGSTOP)
        return f"SIGSTOP {name}"

    def repair(self) -> None:
        self._server.signal(signal.SIGCONT)
