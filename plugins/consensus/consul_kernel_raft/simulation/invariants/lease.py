"""The lease (thesis §6.4.1): while a leader holds it, nobody leads in a newer term."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class Lease(RaftInvariant):
    """Looked at whenever somebody who leads takes a step: at the moment of an election, and ever after."""

    def __init__(self) -> None:
        self._leaders: dict[str, Life] = {}

    def after_step(self, world: World, life: Life) -> None:
        leaders = self._leaders
        if life.raft.leadership is None:
            if leaders:
                leaders.pop(life.name, None)
            return
        leaders[life.name] = life
        if len(leaders) > 1:
            for other in list(leaders.values()):
                if other is not life:
                    self._compare(life, other)

    def _compare(self, life: Life, other: Life) -> None:
        if not other.running or other.raft.leadership is None:
            self._leaders.pop(other.name, None)
            return
        newer, older = (life, other) if life.raft.term > other.raft.term else (other, life)
        held = older.raft.lease_until_ms > older.now_ms()
        self.require(not held, f"{older.name} holds its lease, and {newer.name} leads in term {newer.raft.term}")
