"""Changes of the servers after which two majorities would have no server in common (thesis §4.1)."""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel.contracts.consensus import Server, Suffrage
from consul_kernel_raft.core import ChangeConfiguration
from consul_kernel_raft.simulation.server import SimServer
from consul_kernel_raft.simulation.world import World

from .raft_staging import QUIET, cut, only_connect, quorum, stand, wait, wait_for_lease


def _quorum(seed: int, founders: int) -> tuple[World, list[SimServer]]:
    """Five servers, the first of them leading a quorum of the first few, in which everything is committed."""
    world = quorum(seed, 5, founders, leases=False)
    leader = wait_for_lease(world)
    servers = list(world.servers.values())
    servers.remove(leader)
    world.write(leader)
    last = leader.raft.log.last_index if leader.raft else 0
    wait(world, lambda: all(server.machine.applied_index == last for server in servers[: founders - 1]))
    return world, [leader, *servers]


def _change(world: World, leader: SimServer, *servers: SimServer, learners: tuple[SimServer, ...] = ()) -> None:
    voters = tuple(server.server for server in servers)
    others = tuple(Server(server.id, server.server.address, Suffrage.NONVOTER) for server in learners)
    world.step(leader, ChangeConfiguration((*voters, *others)))


def _term(server: SimServer) -> int:
    return server.raft.term if server.raft is not None else 0


def _write_for(world: World, server: SimServer, duration_ms: int) -> None:
    for _ in range(duration_ms // 10):
        world.write(server)
        world.timeline.run_for(10)


def two_leaders_change_the_servers(seed: int) -> None:
    """Of four servers, S1 adds S5 and only S1 knows; S2 leads the next term and removes S1 before anything else.

    Then S2 and S3 are a majority of three, and S1, S4 and S5 one of five (raft-dev, July 2015).
    """
    world, (s1, s2, s3, s4, s5) = _quorum(seed, 4)
    only_connect(world, [s1])
    _change(world, s1, s1, s2, s3, s4, s5)
    only_connect(world, [s2, s3, s4])
    stand(world, s2, _term(s2))
    wait(world, lambda: s4.raft is not None and s4.raft.vote == s2.id)
    cut(world, s2, s4)
    wait(world, lambda: s2 in world.leaders())
    _change(world, s2, s2, s3, s4)
    _write_for(world, s2, 300)
    only_connect(world, [s1, s4, s5], [s2, s3])
    stand(world, s1, _term(s1))
    _write_for(world, s1, 300)
    world.timeline.run_for(500)


def one_leader_changes_the_servers_twice(seed: int) -> None:
    """Of three servers, S1 adds S4 and S5 at once: S1, S4 and S5 are a majority of five, S2 and S3 one of three."""
    world, (s1, s2, s3, s4, s5) = _quorum(seed, 3)
    only_connect(world, [s1, s4, s5], [s2, s3])
    _change(world, s1, s1, s2, s3, s4)
    _change(world, s1, s1, s2, s3, s4, s5)
    _write_for(world, s1, 150)
    stand(world, s2, _term(s2))
    _write_for(world, s2, 300)


def learners_have_everything(seed: int) -> None:
    """S1 is left with two servers without a vote: nothing is committed there, and S2 and S3 may go on without it."""
    world, (s1, s2, s3, s4, s5) = _quorum(seed, 3)
    _change(world, s1, s1, s2, s3, learners=(s4,))
    wait(world, lambda: s1.raft is not None and s1.raft.commit_index == s1.raft.log.last_index)
    _change(world, s1, s1, s2, s3, learners=(s4, s5))
    wait(world, lambda: s1.raft is not None and s1.raft.commit_index == s1.raft.log.last_index)
    only_connect(world, [s1, s4, s5], [s2, s3])
    _write_for(world, s1, 150)
    stand(world, s2, _term(s2))
    _write_for(world, s2, 300)


def leader_that_removes_itself_is_deposed(seed: int) -> None:
    """Of two servers, S1 writes what S2 has not, and removes itself. S1 is deposed; only its log can win (§5.4.1)."""
    world = quorum(seed, 2, 2)
    s1 = wait_for_lease(world)
    (s2,) = (server for server in world.servers.values() if server is not s1)
    only_connect(world)
    world.write(s1)
    _change(world, s1, s2)
    wait(world, lambda: world.leaders() == [])
    if seed % 2:
        world.crash(s1, power=True)  # after that it does not know what was committed before, either
        world.start(s1)
    world.network.become_calm(QUIET)
    wait(world, lambda: s2 in world.leaders(), what="the servers go on")
    assert s2.running.raft.voters == {s2.id}


SCENARIOS: tuple[Callable[[int], None], ...] = (
    two_leaders_change_the_servers,
    one_leader_changes_the_servers_twice,
    learners_have_everything,
    leader_that_removes_itself_is_deposed,
)
