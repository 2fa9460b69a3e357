"""Changes of the servers after which two majorities would have no server in common (thesis §4.1)."""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel.contracts.consensus import Server, Suffrage
from consul_kernel_raft.core import ChangeConfiguration

from .raft_staging import only_connect, stand, wait, wait_for_lease
from .raft_world import SimServer, World


def _quorum(seed: int, founders: int) -> tuple[World, list[SimServer]]:
    """Five servers, the first of them leading a quorum of the first few, in which everything is committed."""
    world = World(seed, servers=5, founders=founders)
    world.slow_write_rate = 0.0
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
        world.run_until(world.now_ms + 10)


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
    world.network.cut.add((s2.id, s4.id))
    wait(world, lambda: s2 in world.leaders())
    _change(world, s2, s2, s3, s4)
    _write_for(world, s2, 300)
    only_connect(world, [s1, s4, s5], [s2, s3])
    stand(world, s1, _term(s1))
    _write_for(world, s1, 300)
    world.run_until(world.now_ms + 500)


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


SCENARIOS: tuple[Callable[[int], None], ...] = (
    two_leaders_change_the_servers,
    one_leader_changes_the_servers_twice,
    learners_have_everything,
)
