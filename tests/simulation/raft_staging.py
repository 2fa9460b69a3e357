"""What scenarios are staged with: a quiet quorum, elections made to happen, and waiting for what must come about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consul_kernel.testing.simulation import Conditions
from consul_kernel_raft.core import Limits
from consul_kernel_raft.core.messages import TimeoutNow
from consul_kernel_raft.simulation.invariants import all_invariants
from consul_kernel_raft.simulation.invariants.lease import Lease
from consul_kernel_raft.simulation.server import SimServer
from consul_kernel_raft.simulation.world import LIMITS, World

QUIET = Conditions(delay_ms=(1, 5))


def quorum(seed: int, servers: int, founders: int, limits: Limits = LIMITS, *, leases: bool = True) -> World:
    """Servers on a network without faults. Leases are not watched where elections are forced while they run."""
    invariants = [one for one in all_invariants() if leases or not isinstance(one, Lease)]
    return World(seed, servers=servers, founders=founders, limits=limits, conditions=QUIET, invariants=invariants)


def leader_of_three(seed: int, servers: int = 3) -> tuple[World, SimServer, SimServer, SimServer]:
    """A quiet quorum of three with some writes: its leader and the two others. Further servers do not belong to it."""
    world = quorum(seed, servers, 3)
    leader = wait_for_lease(world)
    world.write(leader)
    world.timeline.run_for(100)
    a, b = (server for server in list(world.servers.values())[:3] if server is not leader)
    return world, leader, a, b


def wait_for_lease(world: World, within_ms: int = 5000) -> SimServer:
    """Wait until a leader holds the lease."""

    def holder() -> SimServer | None:
        return next((server for server in reversed(world.leaders()) if server.running.raft.lease_until_ms), None)

    wait(world, lambda: holder() is not None, within_ms)
    found = holder()
    assert found is not None
    return found


def wait(
    world: World, holds: Callable[[], bool], within_ms: int = 5000, what: str = "the scenario does not come about"
) -> None:
    """Let time pass until a condition holds. Raises ViolationError."""
    world.timeline.run_until_true(holds, within_ms, what, every_ms=1)


def stand(world: World, server: SimServer, term: int) -> None:
    """Have a server of this term stand for the next."""
    world.step(server, TimeoutNow(sender="", to=server.id, term=term))


def cut(world: World, sender: SimServer, receiver: SimServer) -> None:
    """Lose what one server sends to another."""
    world.network.cut([sender.id], [receiver.id])


def isolate(world: World, server: SimServer) -> None:
    """Cut one server off."""
    world.network.split([server.id])


def heal(world: World) -> None:
    """End all cuts and lags."""
    world.network.become_calm(QUIET)


def only_connect(world: World, *groups: Sequence[SimServer]) -> None:
    """Cut everything, but for the connections within each group."""
    heal(world)
    grouped = [server for group in groups for server in group]
    for group in groups:
        world.network.split([server.id for server in group])
    for server in world.servers.values():
        if server not in grouped:
            isolate(world, server)
