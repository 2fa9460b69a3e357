"""Reads are current (paper §8; thesis §6.4): whatever was finished before a request began, it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.clients import Request
    from consul_kernel_raft.simulation.world import World


class CurrentReads(RaftInvariant):
    """Versions are indexes of the log, so the total order is known, and real time must agree with it.

    Stronger than what a history shows, since a read tells how old the whole state is from which it was taken.
    """

    def finished(self, world: World, request: Request, version: int) -> None:
        if request.operation.is_write:
            self.require(version > request.floor, f"a write at {version} began after {request.floor} was seen")
        else:
            self.require(version >= request.floor, f"a read of version {version} began after {request.floor} was seen")
