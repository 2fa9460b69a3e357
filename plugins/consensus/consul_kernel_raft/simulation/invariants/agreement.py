"""In calm all servers of the quorum have the same state (paper §2: replicated state machines)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.world import World


class Agreement(RaftInvariant):
    """Learners too, and those that were given it by a snapshot."""

    def at_rest(self, world: World) -> None:
        self.require(world.leaders() != [], "nobody leads")
        leader = world.leaders()[-1]
        expected = leader.machine
        for server in leader.running.raft.configuration.servers:
            machine = world.servers[server.id].machine
            self.require(machine == expected, f"{server.id} has another state than {leader.id}, who leads")
