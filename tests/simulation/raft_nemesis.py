"""What goes wrong in a simulated run, and how a run is made: chaos, then a phase in which all must be well."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from consul_kernel.contracts.consensus import Role, Server, Suffrage
from consul_kernel_raft.core import ChangeConfiguration, TransferLeadership
from consul_kernel_raft.core.membership import with_server, without_server

from .raft_world import LIMITS, SimServer, World

CHAOS_MS = 3500
CALM_MS = 10_000
REST_MS = 5000


@dataclass(frozen=True, slots=True)
class Profile:
    """What goes wrong, and how often (ranges to choose from; times are means)."""

    faults: Sequence[str]
    fault_ms: Sequence[int]
    client_ms: Sequence[int]
    loss_rates: Sequence[float] = (0.0, 0.01, 0.05)
    slow_rates: Sequence[float] = (0.0, 0.01, 0.05)
    delays_ms: Sequence[int] = (3, 12)
    founders: Sequence[int] = (3, 5)
    servers: int = 5
    append_entries_max: Sequence[int] = (1, 4, 20)


PROFILES = (
    Profile(  # everything
        faults=(
            "partition",
            "isolate",
            "one way",
            "one way",
            "crash",
            "crash",
            "stall",
            "hang",
            "snapshot",
            "transfer",
            "change",
        ),
        fault_ms=(40, 100, 300),
        client_ms=(3, 8, 20),
        founders=(1, 2, 3, 4, 5),
    ),
    Profile(  # leaders that are hard to reach, and handed over: stale reads show here
        faults=("one way", "one way back", "one way", "one way back", "isolate", "transfer", "stall", "hang"),
        fault_ms=(30, 60, 120),
        client_ms=(4,),
        loss_rates=(0.05, 0.2),
        delays_ms=(5, 25),
        founders=(3,),
        servers=3,
        append_entries_max=(20,),
    ),
    Profile(  # leaders that fall in the middle of something: figure 8 shows here
        faults=("crash", "crash", "crash", "crash all", "partition", "partition", "snapshot"),
        fault_ms=(120, 250),
        client_ms=(3, 6),
        loss_rates=(0.05, 0.3),
        delays_ms=(3, 12, 40),
        founders=(3, 5, 5),
        append_entries_max=(1, 2),
    ),
)


class Nemesis:
    """Schedules clients and faults, by the world's random source."""

    def __init__(self, world: World, profile: Profile) -> None:
        self._world = world
        self._active = True
        self._resting = False
        rng = world.rng
        network = world.network
        self._faults = profile.faults
        network.loss_rate = rng.choice(profile.loss_rates)
        network.duplicate_rate = rng.choice((0.0, 0.05))
        network.slow_rate = rng.choice(profile.slow_rates)
        network.delay_ms_max = rng.choice(profile.delays_ms)
        self._client_ms = rng.choice(profile.client_ms)
        self._fault_ms = rng.choice(profile.fault_ms)
        world.at(0, self._client)
        world.at(self._fault_ms, self._fault)

    def stop(self) -> None:
        """No more faults; every server runs."""
        self._active = False
        self._client_ms = 20
        world = self._world
        world.network.become_perfect()
        for server in world.servers.values():
            server.stalled_until_ms = 0
            if server.raft is None:
                world.start(server)

    def rest(self) -> None:
        """No more clients either."""
        self._resting = True

    def _client(self) -> None:
        world = self._world
        if self._resting:
            return
        choice = world.rng.random()
        server = world.rng.choice(list(world.servers.values()))
        leaders = world.leaders()
        if leaders and choice < 0.9:
            server = world.rng.choice(leaders)
        if choice < 0.5:
            world.write(server)
        elif choice < 0.7:
            world.read(server)
        else:
            world.read_by_lease(server)
        world.at(world.rng.randint(1, 2 * self._client_ms), self._client)

    def _fault(self) -> None:
        if not self._active:
            return
        world, rng = self._world, self._world.rng
        victims = world.leaders() if rng.random() < 0.6 else world.alive
        victim = rng.choice(victims) if victims else rng.choice(list(world.servers.values()))
        choice = rng.choice(self._faults)
        match choice:
            case "crash":
                self._crash(victim)
            case "crash all":
                for server in world.alive:
                    self._crash(server)
            case "stall":
                victim.stalled_until_ms = world.now_ms + rng.randint(20, 400)
            case "hang":
                victim.hangs_until_ms = world.now_ms + rng.randint(100, 1500)
            case "snapshot":
                world.snapshot(victim, rng.randint(0, 10))
            case "transfer":
                self._transfer()
            case "change":
                self._change()
            case _:
                self._cut(choice, victim)
        world.note(f"fault {choice} {victim.id}")
        world.at(rng.randint(1, 2 * self._fault_ms), self._fault)

    def _cut(self, choice: str, victim: SimServer) -> None:
        network, names = self._world.network, list(self._world.servers)
        match choice:
            case "partition":
                network.partition(names)
            case "isolate":
                network.isolate(victim.id, names)
            case "one way":
                network.cut_one_way([victim.id], names)
            case "one way back":
                network.cut_one_way(names, [victim.id])
            case _:
                raise ValueError(choice)
        self._heal_later()

    def _heal_later(self) -> None:
        self._world.at(self._world.rng.randint(50, 700), self._world.network.heal)

    def _crash(self, server: SimServer) -> None:
        self._world.crash(server)
        self._world.at(self._world.rng.randint(1, 200), lambda: self._restart(server))

    def _restart(self, server: SimServer) -> None:
        if server.raft is None:
            self._world.start(server)

    def _transfer(self) -> None:
        world = self._world
        for leader in world.leaders():
            world.step(leader, TransferLeadership(world.rng.choice(list(world.servers))))

    def _change(self) -> None:
        """A change that keeps at least two voters, so that a crash is survived."""
        world, rng = self._world, self._world.rng
        for leader in world.leaders():
            assert leader.raft is not None
            configuration = leader.raft.configuration
            name = rng.choice(list(world.servers))
            if configuration.get(name) is not None and rng.random() < 0.5:
                servers = without_server(configuration, name)
            else:
                suffrage = rng.choice((Suffrage.VOTER, Suffrage.VOTER, Suffrage.NONVOTER))
                servers = with_server(configuration, Server(name, f"{name}:8300", suffrage))
            if sum(server.suffrage is Suffrage.VOTER for server in servers) >= 2:
                world.step(leader, ChangeConfiguration(servers))


def run_seed(seed: int, *, chaos_ms: int = CHAOS_MS) -> World:
    """One run. Raises InvariantError, or AssertionError when it makes no progress in calm."""
    profile = PROFILES[seed % len(PROFILES)]
    rng = random.Random(seed)
    limits = replace(LIMITS, append_entries_max=rng.choice(profile.append_entries_max), inflight_max=rng.choice((1, 4)))
    world = World(seed, servers=profile.servers, founders=rng.choice(profile.founders), limits=limits)
    nemesis = Nemesis(world, profile)
    world.run_until(chaos_ms)
    nemesis.stop()
    target = world.clients.finished_writes + 5
    calm_from_ms = world.now_ms

    def recovered() -> bool:
        return world.clients.finished_writes >= target and _agree(world)

    assert world.run_until(world.now_ms + CALM_MS, recovered), f"seed {seed}: no progress after {calm_from_ms} ms"
    nemesis.rest()
    assert world.run_until(world.now_ms + REST_MS, lambda: _at_rest(world)), f"seed {seed}: a server stays behind"
    return world


def _at_rest(world: World) -> bool:
    """Whether every server of the quorum has applied all that is in the leader's log, with nobody writing."""
    leaders = world.leaders()
    if not leaders or leaders[-1].raft is None:
        return False
    raft = leaders[-1].raft
    members = (world.servers[server.id] for server in raft.configuration.servers)
    return all(member.machine.applied_index == raft.log.last_index for member in members)


def _agree(world: World) -> bool:
    """Whether all voters have applied nearly everything, and one of them leads."""
    leaders = world.leaders()
    if not leaders or leaders[-1].raft is None:
        return False
    raft = leaders[-1].raft
    members = [world.servers[name] for name in raft.voters]
    return raft.role is Role.LEADER and all(
        member.machine.applied_index >= raft.commit_index - 20 for member in members
    )
