"""Faults of servers: crashes at any moment, pauses, disks and clocks; and what operators do meanwhile.

Leaders are struck more often than others, since that is where mistakes show.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from consul_kernel.contracts.consensus import Configuration, Server, Suffrage
from consul_kernel.testing.simulation import DiskSpeed, Fault, Strike, Undo
from consul_kernel_raft.core import ChangeConfiguration, TransferLeadership
from consul_kernel_raft.core.membership import with_server, without_server
from consul_kernel_raft.core.tracker import voter_ids
from consul_kernel_raft.simulation.server import SimServer
from consul_kernel_raft.simulation.world import CLOCK_RATES, World

_LEADER_RATE = 0.6
_SELF_RATE = 0.2
_DOWN_MS = (1, 200)
_ACTIONS = 12
"""A crash inside comes within so many things that others or the disk could see."""


class Strikes:
    """What can be done to the servers of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def strikes(self) -> Mapping[str, Strike]:
        """By kind."""
        return {
            "leader-deaf": self._leader_deaf,
            "leader-mute": self._leader_mute,
            "leader-link": self._leader_link,
            "crash": self._crash,
            "crash-inside": self._crash_inside,
            "crash-all": self._crash_all,
            "pause": self._pause,
            "slow-disk": self._slow_disk,
            "hung-disk": self._hung_disk,
            "full-disk": self._full_disk,
            "clock": self._clock,
            "snapshot": self._snapshot,
            "transfer": self._transfer,
            "change": self._change,
        }

    def _victim(self, rng: random.Random) -> SimServer:
        """A leader, or whoever runs."""
        world = self._world
        leaders = world.leaders() if rng.random() < _LEADER_RATE else []
        return rng.choice(leaders or world.alive or list(world.servers.values()))

    # --- links of a leader ---

    def _leader_deaf(self, fault: Fault, rng: random.Random) -> Undo:
        """Somebody, most times a leader, hears nobody, or one other not."""
        victim = self._victim(rng)
        cut = self._world.network.cut(self._others(victim, rng), [victim.id])
        return lambda: self._world.network.mend(cut)

    def _leader_mute(self, fault: Fault, rng: random.Random) -> Undo:
        """Somebody, most times a leader, is heard by nobody, or not by one other."""
        victim = self._victim(rng)
        cut = self._world.network.cut([victim.id], self._others(victim, rng))
        return lambda: self._world.network.mend(cut)

    def _leader_link(self, fault: Fault, rng: random.Random) -> Undo:
        """Somebody, most times a leader, and one or two others do not reach each other."""
        victim, network = self._victim(rng), self._world.network
        others = [name for name in self._world.servers if name != victim.id]
        others = rng.sample(others, min(len(others), rng.randint(1, 2)))
        cuts = network.cut([victim.id], others), network.cut(others, [victim.id])
        return lambda: network.mend(*cuts)

    def _others(self, victim: SimServer, rng: random.Random) -> Sequence[str] | None:
        others = [name for name in self._world.servers if name != victim.id]
        return [rng.choice(others)] if others and rng.random() < 0.7 else None

    # --- crashes ---

    def _crash(self, fault: Fault, rng: random.Random) -> Undo:
        """A process dies between two events, and comes back soon."""
        victim = self._victim(rng)
        return self._down([victim], rng)

    def _crash_all(self, fault: Fault, rng: random.Random) -> Undo:
        """All die at once, and come back one after the other."""
        return self._down(self._world.alive, rng)

    def _down(self, victims: Sequence[SimServer], rng: random.Random) -> Undo:
        world = self._world
        for victim in victims:
            world.crash(victim, power=rng.random() < 0.5)
            world.timeline.after(rng.randint(*_DOWN_MS), world.start, victim)

        def undo() -> None:
            for victim in victims:
                world.start(victim)

        return undo

    def _crash_inside(self, fault: Fault, rng: random.Random) -> Undo:
        """A process dies in the middle of something: between two messages, entries, or a write and a message."""
        victim = self._victim(rng)
        life = victim.life
        if life is not None:
            life.fuse = rng.randrange(_ACTIONS)

        def undo() -> None:
            if life is not None:
                life.fuse = None
            self._world.start(victim)

        return undo

    # --- slowness ---

    def _pause(self, fault: Fault, rng: random.Random) -> Undo:
        """A process stands still, and takes all that came meanwhile at once."""
        life = self._victim(rng).life
        if life is None:
            return lambda: None
        life.stall(rng.choice((rng.randint(20, 400), rng.randint(300, 1_200))))
        return life.resume

    def _slow_disk(self, fault: Fault, rng: random.Random) -> Undo:
        """Most writes of a server take long."""
        disk = self._victim(rng).storage.log_disk
        disk.speed = DiskSpeed(slow_rate=0.8, slow_ms=(10, 150))

        def undo() -> None:
            disk.speed = DiskSpeed()

        return undo

    def _hung_disk(self, fault: Fault, rng: random.Random) -> None:
        """A disk finishes nothing, often for longer than a leader waits for it."""
        self._victim(rng).storage.log_disk.hang(rng.randint(100, 1_500))

    def _full_disk(self, fault: Fault, rng: random.Random) -> Undo:
        """There is no room for entries, nor for what they would change in the state."""
        storage = self._victim(rng).storage
        storage.is_full = True

        def undo() -> None:
            storage.is_full = False

        return undo

    def _clock(self, fault: Fault, rng: random.Random) -> None:
        """A clock goes on at another rate; those of two servers differ by as much as the lease allows for at most."""
        victim, now_ms = self._victim(rng), self._world.timeline.now_ms
        victim.set_clock(victim.clock.at_rate(rng.uniform(*CLOCK_RATES), now_ms))

    # --- operators ---

    def _snapshot(self, fault: Fault, rng: random.Random) -> None:
        """Somebody takes a snapshot, or all do, and their logs are compacted."""
        victims = [self._victim(rng)] if rng.random() < 0.7 else self._world.alive
        for victim in victims:
            self._world.snapshots.take(victim, rng.randint(0, 10))

    def _transfer(self, fault: Fault, rng: random.Random) -> None:
        """All that lead are told to hand over to somebody."""
        for leader in self._world.leaders():
            self._world.step(leader, TransferLeadership(rng.choice(list(self._world.servers))))

    def _change(self, fault: Fault, rng: random.Random) -> None:
        """All that lead are told to add somebody, with a vote or without one, to give it one, or to remove it.

        Themselves, too.
        """
        for leader in self._world.leaders():
            configuration = leader.running.raft.configuration
            name = leader.id if rng.random() < _SELF_RATE else rng.choice(list(self._world.servers))
            if configuration.get(name) is not None and rng.random() < 0.5:
                servers = without_server(configuration, name)
            else:
                suffrage = rng.choice((Suffrage.VOTER, Suffrage.VOTER, Suffrage.NONVOTER))
                servers = with_server(configuration, Server(name, f"{name}:8300", suffrage))
            if len(voter_ids(Configuration(servers))) >= rng.choice((1, 2, 2, 2)):
                self._world.step(leader, ChangeConfiguration(servers))
