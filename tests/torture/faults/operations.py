"""What operators do to a cluster that is well."""

from __future__ import annotations

import contextlib
import time

from .base import Fault

LEAVE_S = 15.0


class Transfer(Fault):
    """The leadership is handed over."""

    lasts_s = (0.1, 1.0)

    def strike(self) -> str:
        with contextlib.suppress(OSError):
            answer = self.rng.choice(self.servers.all).ask("POST", "/v1/operator/raft/transfer-leader", timeout_s=5.0)
            return f"leader transfer: {answer.status}"
        return "leader transfer: no answer"


class Leave(Fault):
    """A server leaves gracefully, and comes back with the data that it had."""

    lasts_s = (1.0, 5.0)

    def strike(self) -> str:
        self._server, name = self.victim()
        self._server.wanted = False
        begun_s = time.monotonic()
        with contextlib.suppress(OSError):
            self._server.ask("PUT", "/v1/agent/leave", timeout_s=LEAVE_S)
        while self._server.running and time.monotonic() < begun_s + LEAVE_S:
            time.sleep(0.05)
        took_s = time.monotonic() - begun_s
        has_left = not self._server.running
        self._server.crash()
        return f"leave of {name}, in {took_s:.1f} s" if has_left else f"leave of {name}, which did not end"

    def repair(self) -> None:
        self._server.wanted = True
