"""Linearizability of a register (paper §8; thesis §6.4): whatever finished before is seen by what begins after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel_raft.core import Raft

from .base import Invariant

if TYPE_CHECKING:
    from simulation.raft_world import SimServer, World


class Linearizability(Invariant):
    """Versions are log indexes, so the total order is known, and real time must agree with it.

    A write must come after everything that was observed before it began, and a read must not be older than
    that. Writes without an answer may count or not, which the comparison allows.
    """

    def after_step(self, world: World, server: SimServer, raft: Raft) -> None:
        for operation, version in world.clients.completed:
            if operation.is_write:
                self.require(version > operation.floor, f"a write at {version} began after {operation.floor} was seen")
            else:
                self.require(
                    version >= operation.floor, f"{server.id}: a read saw {version} after {operation.floor} was seen"
                )
