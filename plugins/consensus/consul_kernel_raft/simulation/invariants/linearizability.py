"""Linearizability (Herlihy and Wing, 1990; paper §8): the clients' history could be that of one register each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.world import World


class Linearizability(RaftInvariant):
    """By values alone, whatever the servers think of their indexes."""

    def at_rest(self, world: World) -> None:
        reason = world.clients.history.explain()
        self.require(reason is None, str(reason))
