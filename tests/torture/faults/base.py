"""What faults have in common."""

from __future__ import annotations

import random
from typing import ClassVar

from torture.servers import Server, Servers

LEADER_SHARE = 0.6
"""How often the leader is struck, where there is one: that is where the most can go wrong."""


class Fault:
    """One fault. `lasts_s` is the least and the most time between strike and repair."""

    lasts_s: ClassVar[tuple[float, float]] = (1.0, 5.0)

    def __init__(self, servers: Servers, rng: random.Random) -> None:
        self.servers = servers
        self.rng = rng

    def strike(self) -> str:
        """Break something, and say what."""
        raise NotImplementedError

    def repair(self) -> None:
        """Mend it."""

    def victim(self) -> tuple[Server, str]:
        """A server, and what to call it."""
        leader = self.servers.leader()
        if leader is not None and self.rng.random() < LEADER_SHARE:
            return leader, f"{leader.name}, the leader"
        server = self.rng.choice(self.servers.all)
        return server, server.name

    def others(self, *servers: Server) -> list[Server]:
        """All but these."""
        return [server for server in self.servers.all if server not in servers]
