"""What scenarios are staged with: a quiet quorum, elections made to happen, and waiting for what must come about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consul_kernel_raft.core.messages import TimeoutNow

from .raft_world import SimServer, World


def leader_of_three(seed: int) -> tuple[World, SimServer, SimServer, SimServer]:
    """A quiet quorum of three with some writes: its leader and the two others."""
    world = World(seed, servers=3, founders=3)
    leader = wait_for_lease(world)
    world.write(leader)
    world.run_until(world.now_ms + 100)
    a, b = (server for server in world.servers.values() if server is not leader)
    return world, leader, a, b


def wait_for_lease(world: World, within_ms: int = 5000) -> SimServer:
    """Wait until a leader holds the lease."""

    def holder() -> SimServer | None:
        leaders = reversed(world.leaders())
        return next((server for server in leaders if server.raft and server.raft.lease_until_ms), None)

    wait(world, lambda: holder() is not None, within_ms)
    found = holder()
    assert found is not None
    return found


def wait(world: World, holds: Callable[[], bool], within_ms: int = 5000) -> None:
    """Let time pass until a condition holds."""
    assert world.run_until(world.now_ms + within_ms, holds), "the scenario does not come about"


def stand(world: World, server: SimServer, term: int) -> None:
    """Have a server of this term stand for the next."""
    world.step(server, TimeoutNow(sender="", to=server.id, term=term))


def only_connect(world: World, *groups: Sequence[SimServer]) -> None:
    """Cut everything, but for the connections within each group."""
    names = list(world.servers)
    world.network.cut = {(a, b) for a in names for b in names if a != b}
    for group in groups:
        world.network.cut -= {(a.id, b.id) for a in group for b in group}
