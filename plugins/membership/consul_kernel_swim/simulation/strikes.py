"""Faults of agents: crashes, restarts, slowness, departures, newcomers, taken names, garbage."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from consul_kernel.contracts.transport import Address
from consul_kernel.testing.simulation import Fault, Strike, Undo
from consul_kernel_swim.core.events import PacketReceived
from consul_kernel_swim.simulation.agent import Agent
from consul_kernel_swim.simulation.world import World

_CONTACTS = 4
_STRANGER = Address("10.255.255.254", 9)


class Strikes:
    """What can be done to the agents of a world. At least `quorum` members stay, so that there is a pool."""

    def __init__(self, world: World, quorum: int) -> None:
        self._world = world
        self._quorum = quorum
        self._newcomers = 0

    def strikes(self) -> Mapping[str, Strike]:
        """By kind."""
        return {
            "crash": self._crash,
            "mass-restart": self._mass_restart,
            "pause": self._pause,
            "slow": self._slow,
            "leave": self._leave,
            "join": self._join,
            "reuse": self._reuse,
            "garbage": self._garbage,
        }

    def _victims(self, rng: random.Random, most: int) -> list[Agent]:
        members = self._world.members()
        spare = max(0, len(members) - self._quorum)
        return rng.sample(members, min(spare, rng.randint(1, max(1, most))))

    def contacts(self, rng: random.Random) -> Sequence[Address]:
        """Whom a newcomer asks: some that are there, and before them, often, some that are not."""
        world = self._world
        members = world.members()
        living = [agent.address for agent in rng.sample(members, min(_CONTACTS, len(members)))]
        dead = [agent.address for agent in world.agents.values() if not agent.running]
        silent = rng.sample(dead, min(len(dead), rng.randint(0, 2)))
        return [*silent, *living]

    def _back(self, agent: Agent, rng: random.Random, address: Address | None = None) -> None:
        """Start under a name again, unless somebody has done so."""
        if self._world.agents[agent.name] is agent and not agent.running:
            self._world.start(agent.name, address, self.contacts(rng))

    def _all_back(self, agents: Sequence[Agent], rng: random.Random) -> None:
        for agent in agents:
            self._back(agent, rng)

    def _crash(self, fault: Fault, rng: random.Random) -> Undo | None:
        """One to three agents die; most times they come back where they were."""
        victims = self._victims(rng, 3)
        for agent in victims:
            agent.crash()
        if rng.random() < 0.3:
            return None
        return lambda: self._all_back(victims, rng)

    def _mass_restart(self, fault: Fault, rng: random.Random) -> Undo:
        """A tenth to a third of all agents dies at once, and they come back within two seconds of each other."""
        victims = self._victims(rng, max(1, int(len(self._world.members()) * rng.uniform(0.1, 0.34))))
        for agent in victims:
            agent.crash()

        def undo() -> None:
            for agent in victims:
                self._world.timeline.after(rng.randrange(2_000), self._back, agent, rng)

        return undo

    def _pause(self, fault: Fault, rng: random.Random) -> Undo:
        """One or two agents stand still, and take all that came meanwhile at once."""
        victims = self._victims(rng, 2)
        for agent in victims:
            agent.stall(fault.length_ms)

        def undo() -> None:
            for agent in victims:
                agent.resume()

        return undo

    def _slow(self, fault: Fault, rng: random.Random) -> Undo:
        """Up to a tenth of the agents gets the processor now and then only."""
        victims = self._victims(rng, max(1, len(self._world.members()) // 10))
        slowness = Slowness(self._world, rng, block_ms=rng.choice((500, 2_000, 8_000)), run_ms=rng.choice((50, 500)))
        slowness.begin(victims)
        return slowness.end

    def _leave(self, fault: Fault, rng: random.Random) -> Undo | None:
        """One or two agents leave; half of them come back."""
        victims = self._victims(rng, 2)
        for agent in victims:
            self._world.leave(agent)
        if rng.random() < 0.5:
            return None
        return lambda: self._all_back(victims, rng)

    def _join(self, fault: Fault, rng: random.Random) -> None:
        """One to three new agents join."""
        for _ in range(rng.randint(1, 3)):
            self._newcomers += 1
            self._world.start(f"x{self._newcomers}", None, self.contacts(rng))

    def _reuse(self, fault: Fault, rng: random.Random) -> Undo:
        """An agent dies, and its name comes back at another address."""
        victims = self._victims(rng, 1)
        for agent in victims:
            agent.crash()

        def undo() -> None:
            for agent in victims:
                self._back(agent, rng, self._world.free_address())

        return undo

    def _garbage(self, fault: Fault, rng: random.Random) -> Undo:
        """Random octets, packets that are cut short, and packets whose checksum is wrong reach everybody."""
        active = True

        def throw() -> None:
            if not active:
                return
            for agent in rng.sample(self._world.running(), min(10, len(self._world.running()))):
                self._world.deliver(agent.address, PacketReceived(self._junk(rng), _STRANGER))
            self._world.timeline.after(rng.randint(20, 200), throw)

        def undo() -> None:
            nonlocal active
            active = False

        throw()
        return undo

    def _junk(self, rng: random.Random) -> bytes:
        recent = self._world.recent_packets
        if recent and rng.random() < 0.6:
            packet = rng.choice(recent)
            if packet[:1] == b"\x0c" and rng.random() < 0.5:
                at = rng.randrange(5, len(packet))
                return packet[:at] + bytes((packet[at] ^ rng.randrange(1, 256),)) + packet[at + 1 :]
            return packet[: rng.randrange(len(packet))]
        return bytes((rng.randrange(256),)) + rng.randbytes(rng.randrange(200))


class Slowness:
    """Agents that stand still for `block_ms` again and again, and run for `run_ms` in between.

    So does the experiment of the Lifeguard paper (section V) put agents of a pool into the state of processes that
    get too little of a processor.
    """

    def __init__(self, world: World, rng: random.Random, *, block_ms: int, run_ms: int) -> None:
        self._world = world
        self._rng = rng
        self._block_ms = block_ms
        self._run_ms = run_ms
        self._active = True
        self._victims: Sequence[Agent] = ()

    def begin(self, victims: Sequence[Agent]) -> None:
        self._victims = victims
        for agent in victims:
            self._world.timeline.after(self._rng.randrange(self._run_ms + 1), self._block, agent)

    def _block(self, agent: Agent) -> None:
        if self._active and agent.running:
            agent.stall(self._block_ms)
            self._world.timeline.after(self._block_ms + self._run_ms, self._block, agent)

    def end(self) -> None:
        """All run again."""
        self._active = False
        for agent in self._victims:
            agent.resume()
