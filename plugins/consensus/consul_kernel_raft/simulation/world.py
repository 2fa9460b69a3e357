"""A quorum of Raft cores in virtual time: servers, the messages between them, clients, and what is watched."""

from __future__ import annotations

import random
import typing
from collections.abc import Sequence

import msgspec

from consul_kernel.contracts.consensus import Role
from consul_kernel.contracts.store import LogEntry
from consul_kernel.testing.simulation import Clock, Conditions, Network, Timeline, Transcript
from consul_kernel_raft.core import Bootstrap, Event, Limits, Propose, Raft, ReadIndex, Timing, Unreachable
from consul_kernel_raft.core.messages import AppendEntries, InstallSnapshot, InstallSnapshotResponse, Message

from .clients import Clients
from .invariants import RaftInvariant
from .machine import Machine, encode_write
from .server import Life, SimServer
from .snapshots import Snapshots
from .storage import Storage
from .watch import Watch

TIMING = Timing(heartbeat_timeout_ms=200, election_timeout_ms=200, lease_ms=180, commit_ms=10, heartbeat_interval_ms=20)
"""Short, so that much happens in a second; what matters is how the times relate."""
LIMITS = Limits(append_entries_max=4, inflight_max=4, tail_entries_max=4, apply_bytes_max=40, reads_max=50)
"""Small, so that every bound is met."""
CLOCK_RATES = (0.95, 1.05)
"""The lease allows for clocks that differ by as much as the heartbeat timeout does from it."""
_NOTICED_RATE = 0.3
"""How often a sender notices that it lost an append: a connection broke, or did not."""

_NAMES = {kind: kind.__name__.encode() for kind in typing.get_args(Event)}
_encode = msgspec.json.Encoder(order="deterministic").encode


class World:
    """Servers s1 to sN; the first `founders` of them are the quorum at the start."""

    def __init__(
        self,
        seed: int,
        *,
        servers: int = 5,
        founders: int = 3,
        limits: Limits = LIMITS,
        conditions: Conditions | None = None,
        invariants: Sequence[RaftInvariant] = (),
        transcript: Transcript | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.limits = limits
        self.timeline = Timeline()
        self.network = Network(random.Random(self.rng.getrandbits(64)), conditions)
        self.transcript = transcript or Transcript()
        self.watch = Watch(self, invariants)
        self.clients = Clients(random.Random(self.rng.getrandbits(64)), self.watch.finished)
        self.snapshots = Snapshots(self)
        self.slow_turn_rate = 0.0
        """How often a server takes in further events before it does what there is to do."""
        self.settled = False
        """Whether everything has come right since the last fault."""
        self.messages = 0
        self._era = self._oldest_era = 0
        self.crashes = 0
        self.servers = {name: self._create(name) for name in (f"s{number}" for number in range(1, servers + 1))}
        for server in self.servers.values():
            self.start(server)
        founding = tuple(server.server for server in list(self.servers.values())[:founders])
        for server in list(self.servers.values())[:founders]:
            self.step(server, Bootstrap(founding))

    def _create(self, name: str) -> SimServer:
        rng = random.Random(self.rng.getrandbits(64))
        clock = Clock(rng.randint(0, 1_000_000), rng.uniform(*CLOCK_RATES))
        return SimServer(name, clock, Storage(self.timeline, rng))

    def note(self, who: str, event: Event) -> None:
        """A line of the transcript: what a server takes in."""
        self.transcript.note(self.timeline.now_ms, who, _NAMES[type(event)], _encode(event))

    # --- servers ---

    @property
    def alive(self) -> list[SimServer]:
        """Servers that run."""
        return [server for server in self.servers.values() if server.life is not None]

    def leaders(self) -> list[SimServer]:
        """Servers that take themselves for the leader, highest term last."""
        found = [server for server in self.alive if server.running.raft.role is Role.LEADER]
        return sorted(found, key=lambda server: server.running.raft.term) if len(found) > 1 else found

    def start(self, server: SimServer) -> None:
        """Start a server on what its disks hold, unless it runs."""
        if server.life is not None:
            return
        server.lives += 1
        storage, newest = server.storage, server.storage.newest
        server.machine = storage.recover(server.machine)
        now_ms = server.clock.now_ms(self.timeline.now_ms)
        raft = Raft(
            server_id=server.id,
            store=storage,
            snapshot=newest.point if newest else None,
            applied_index=server.machine.applied_index,
            timing=TIMING,
            limits=self.limits,
            rng=random.Random(self.rng.getrandbits(64)),
            now_ms=now_ms,
        )
        first = max(storage.first_index, raft.log.snapshot_index + 1)
        raft.recover(storage.entries(first, storage.last_index, 1 << 30), now_ms)
        server.life = life = Life(server, raft, self, random.Random(self.rng.getrandbits(64)))
        self.transcript.note(self.timeline.now_ms, server.id, b"start")
        self.watch.started(life)
        life.begin()

    def crash(self, server: SimServer, *, power: bool = False) -> None:
        """Kill a server: writes under way are torn. When the power fails, the state goes, which is never flushed."""
        if server.life is None:
            return
        server.life.crash()
        server.life = None
        server.storage.crash()
        if power:
            server.machine = Machine()
        self.crashes += 1
        self.transcript.note(self.timeline.now_ms, server.id, b"power failure" if power else b"crash")

    def step(self, server: SimServer, event: Event) -> None:
        """Give a server an event; nothing happens while it is down."""
        if server.life is not None:
            server.life.give(event)

    # --- what servers do ---

    def check(self, life: Life) -> None:
        """A server has taken in an event, and most times done what there was to do."""
        self.watch.after_step(life)

    def apply(self, life: Life, entry: LogEntry) -> None:
        """A server applies an entry."""
        self.watch.applying(life, entry)
        life.server.machine.apply(entry)

    def send(self, life: Life, message: Message) -> None:
        """Put a message on the network."""
        self.watch.sending(life, message)
        self.messages += 1
        timeline = self.timeline
        if isinstance(message, InstallSnapshot):
            self.snapshots.send(life, message)
            return
        delays_ms = self.network.delays_ms(message.sender, message.to)
        if isinstance(message, InstallSnapshotResponse):
            for delay_ms in delays_ms:
                timeline.after(delay_ms, self.snapshots.answered, message)
            return
        target = self.servers[message.to]
        for delay_ms in delays_ms:
            timeline.after(delay_ms, self._deliver, target, message, self._era)
        if not delays_ms and isinstance(message, AppendEntries) and self.rng.random() < _NOTICED_RATE:
            timeline.after(self.rng.randint(1, 100), life.give, Unreachable(message.to))

    def _deliver(self, target: SimServer, message: Message, era: int) -> None:
        if target.life is not None and era >= self._oldest_era:
            target.life.give(message)

    def forget_late_messages(self, after_ms: int) -> None:
        """What is sent before now, and has not arrived after a while, never will."""
        self._era += 1
        self.timeline.after(after_ms, self._begin_era, self._era)

    def _begin_era(self, era: int) -> None:
        self._oldest_era = era

    # --- clients ---

    def write(self, server: SimServer, count: int = 1) -> None:
        """As many clients ask a server to write, unless it is known not to be able to."""
        life = server.life
        if life is None or life.is_stalled or not life.raft.may_propose:
            return
        raft, commands = life.raft, []
        for offset in range(count):
            request = self.clients.begin_write()
            request.term = raft.term
            life.writes[raft.log.last_index + 1 + offset] = request
            commands.append(encode_write(request.key, request.operation.value))
        life.give(Propose(commands))

    def read(self, server: SimServer) -> None:
        """A client reads, by ReadIndex."""
        life = server.life
        if life is not None and life.raft.leadership is not None:
            request = self.clients.begin_read()
            life.reads[request.number] = request
            life.give(ReadIndex([request.number]))

    def read_by_lease(self, server: SimServer) -> None:
        """A client reads from a server that holds the lease, as far as it knows."""
        life = server.life
        if life is not None and not life.is_stalled and life.raft.lease_until_ms > life.now_ms():
            request, machine = self.clients.begin_read(), server.machine
            self.clients.finish(request, machine.version, machine.read(request.key))
