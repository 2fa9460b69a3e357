"""What one server keeps in memory for others is bounded, however slow they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.world import World

_HELD_MAX = 1_000
"""A leader sends no more appends than its window has, so that few answers wait for a disk, even one that hangs."""


class BoundedState(RaftInvariant):
    """Reads, answers that wait for the disk, and appends under way to each follower."""

    def look(self, world: World) -> None:
        limits = world.limits
        for server in world.alive:
            raft = server.running.raft
            if len(raft.reads) > limits.reads_max:
                self.fail(f"{server.id} keeps {len(raft.reads)} reads")
            waiting = len(raft.held) + len(raft.releasing)
            if waiting > _HELD_MAX:
                self.fail(f"{server.id} holds {waiting} messages back")
            if raft.leadership is None:
                continue
            for name, progress in raft.leadership.tracker.progress.items():
                if len(progress.inflight) > limits.inflight_max:
                    self.fail(f"{server.id} has {len(progress.inflight)} appends under way to {name}")
