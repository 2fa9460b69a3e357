"""What the log says of the pool's members: who joined, changed, failed, left, or was forgotten."""

from __future__ import annotations

import logging
from collections.abc import Callable

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind

logger = logging.getLogger("consul_kernel.agent.members")

LINES_PER_MINUTE = 1_000
"""Others decide how many members there are. Who is left out can be read from the member list."""

_WORDS = {
    MemberEventKind.JOIN: "joined",
    MemberEventKind.UPDATE: "was updated",
    MemberEventKind.FAILED: "failed",
    MemberEventKind.LEAVE: "left",
    MemberEventKind.REAP: "was forgotten",
}


class MemberLog:
    """One line for each event, and at most 1,000 lines a minute."""

    def __init__(self, now_ms: Callable[[], int], *, pool: str = "lan") -> None:
        self._now_ms = now_ms
        self._member = "member" if pool == "lan" else f"{pool.upper()} member"
        self._minute = -1
        self._lines = 0

    def observe(self, event: MemberEvent) -> None:
        """Log an event: a failure as a warning, all else for information."""
        minute = self._now_ms() // 60_000
        if minute != self._minute:
            if self._lines > LINES_PER_MINUTE:
                logger.warning("%d more changes of members were not logged", self._lines - LINES_PER_MINUTE)
            self._minute, self._lines = minute, 0
        self._lines += 1
        if self._lines > LINES_PER_MINUTE:
            return
        level = logging.WARNING if event.kind is MemberEventKind.FAILED else logging.INFO
        member = event.member
        logger.log(level, "%s %s at %s %s", self._member, member.name, member.address, _WORDS[event.kind])
