"""A seeded world of Raft servers: one heap of `(time, sequence)`, a faulty network, faulty disks, crashes, clients.

The same seed gives the same transcript. Invariants are checked after every step of every server.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from consul_kernel.contracts.consensus import Role, Server
from consul_kernel.contracts.store import LogEntry
from consul_kernel_raft.core import (
    Bootstrap,
    Event,
    Limits,
    Propose,
    Raft,
    ReadIndex,
    Ready,
    SnapshotFailed,
    SnapshotSaved,
    Timer,
    Timing,
    WriteDone,
)
from consul_kernel_raft.core.entry import EntryKind
from consul_kernel_raft.core.messages import InstallSnapshot, InstallSnapshotResponse, Message, SnapshotPoint

from .raft_clients import Clients, Operation
from .raft_disk import Disk, Machine, StoredSnapshot
from .raft_invariants import Invariant, all_invariants
from .raft_network import Network

TIMING = Timing(heartbeat_timeout_ms=200, election_timeout_ms=200, lease_ms=180, commit_ms=10, heartbeat_interval_ms=20)
"""Short, so that much happens in a second; what matters is how the times relate."""
LIMITS = Limits(append_entries_max=4, inflight_max=4, tail_entries_max=4, apply_bytes_max=40, reads_max=50)
"""Small, so that every bound is met."""


@dataclass(slots=True)
class SimServer:
    """One server: what survives a crash, then what does not. Its clock has an offset and a rate of its own."""

    id: str
    clock_offset_ms: int
    clock_rate: float
    disk: Disk = field(default_factory=Disk)
    machine: Machine = field(default_factory=Machine)
    life: int = 0
    raft: Raft | None = None
    stalled_until_ms: int = 0
    hangs_until_ms: int = 0
    """Until when its disk finishes no write."""
    timer_at_ms: int = 0
    writes: dict[int, Operation] = field(default_factory=dict)
    """Proposals that this server appended as leader, by index."""
    reads: dict[int, Operation] = field(default_factory=dict)
    confirmed: list[tuple[int, Operation]] = field(default_factory=list)

    def now_ms(self, world_ms: int) -> int:
        return self.clock_offset_ms + int(world_ms * self.clock_rate)

    def world_ms(self, own_ms: int) -> int:
        """The first moment of the world at which the server's clock shows at least this."""
        return int((own_ms - self.clock_offset_ms) / self.clock_rate) + 1

    @property
    def server(self) -> Server:
        return Server(self.id, f"{self.id}:8300")


class World:
    """Servers s1 to sN; the first `founders` of them are the quorum at the start."""

    def __init__(self, seed: int, *, servers: int = 5, founders: int = 3, limits: Limits = LIMITS) -> None:
        self.rng = random.Random(seed)
        self.limits = limits
        self.slow_write_rate = 0.03
        self.now_ms = 0
        self.network = Network(random.Random(seed + 1_000_003))
        self.clients = Clients()
        self.invariants: list[Invariant] = all_invariants()
        self.steps = 0
        self._digest = hashlib.sha256()
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self.servers = {
            name: SimServer(name, self.rng.randint(0, 1_000_000), self.rng.uniform(0.95, 1.05))
            for name in (f"s{number}" for number in range(1, servers + 1))
        }
        founding = tuple(server.server for server in list(self.servers.values())[:founders])
        for server in self.servers.values():
            self.start(server)
        for server in list(self.servers.values())[:founders]:
            self.step(server, Bootstrap(founding))

    # --- time ---

    def at(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Run an action later."""
        self._sequence += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._sequence, action))

    def run_until(self, until_ms: int, done: Callable[[], bool] | None = None) -> bool:
        """Let time pass; whether `done` came true before the end."""
        while self._heap and self._heap[0][0] <= until_ms:
            self.now_ms, _, action = heapq.heappop(self._heap)
            action()
            if done is not None and done():
                return True
        self.now_ms = until_ms
        return False

    def note(self, text: str) -> None:
        """A line of the transcript."""
        self._digest.update(f"{self.now_ms} {text}\n".encode())

    def digest(self) -> str:
        """What stands for the transcript so far."""
        return self._digest.hexdigest()

    # --- servers ---

    @property
    def alive(self) -> list[SimServer]:
        return [server for server in self.servers.values() if server.raft is not None]

    def leaders(self) -> list[SimServer]:
        """Servers that take themselves for the leader, highest term last."""
        found = [server for server in self.alive if server.raft is not None and server.raft.role is Role.LEADER]
        return sorted(found, key=lambda server: server.raft.term if server.raft else 0)

    def start(self, server: SimServer) -> None:
        """Start a server on what its disk holds."""
        server.life += 1
        disk = server.disk
        disk.recover(server.machine)
        raft = Raft(
            server_id=server.id,
            store=disk,
            snapshot=disk.snapshot.point if disk.snapshot else None,
            applied_index=server.machine.applied_index,
            timing=TIMING,
            limits=self.limits,
            rng=random.Random(self.rng.random()),
            now_ms=server.now_ms(self.now_ms),
        )
        first = max(disk.first_index, raft.log.snapshot_index + 1)
        raft.recover(disk.entries(first, disk.last_index, 1 << 30), server.now_ms(self.now_ms))
        server.raft = raft
        server.timer_at_ms = 0
        self.note(f"start {server.id}")
        self._after_step(server, raft)

    def crash(self, server: SimServer) -> None:
        """Kill a server; a write under way is torn. The state it had applied may or may not be kept."""
        raft = server.raft
        if raft is None:
            return
        if raft.write is not None:
            server.disk.tear(raft.write, self.rng)
        server.raft = None
        server.life += 1
        server.writes.clear()
        server.reads.clear()
        server.confirmed.clear()
        if self.rng.random() < 0.5:
            server.machine = Machine()
        self.note(f"crash {server.id}")

    def step(self, server: SimServer, event: Event) -> None:
        """Give a server an event; while it is stalled, it waits."""
        raft = server.raft
        if raft is None:
            return
        if server.stalled_until_ms > self.now_ms:
            life = server.life
            self.at(
                server.stalled_until_ms - self.now_ms, lambda: self.step(server, event) if server.life == life else None
            )
            return
        self.note(f"{server.id} {event}")
        raft.step(event, server.now_ms(self.now_ms))
        self._after_step(server, raft)

    def _after_step(self, server: SimServer, raft: Raft) -> None:
        self.steps += 1
        while (ready := raft.ready()) is not None:
            self._carry_out(server, raft, ready)
        if raft.leadership is None:
            server.writes.clear()  # their outcome is unknown
        self._finish_reads(server)
        for invariant in self.invariants:
            invariant.after_step(self, server, raft)
        self.clients.completed.clear()
        self._arm(server, raft)

    def _arm(self, server: SimServer, raft: Raft) -> None:
        deadline_ms = raft.deadline_ms()
        if deadline_ms is None:
            return
        at_ms = max(self.now_ms, server.world_ms(deadline_ms))
        if self.now_ms < server.timer_at_ms <= at_ms:
            return
        server.timer_at_ms = at_ms
        life = server.life

        def fire() -> None:
            if server.life == life and server.timer_at_ms == at_ms:
                server.timer_at_ms = 0
                self.step(server, Timer())

        self.at(at_ms - self.now_ms, fire)

    # --- carrying out what a server asks for ---

    def _carry_out(self, server: SimServer, raft: Raft, ready: Ready) -> None:
        if ready.write is not None:
            write, life = ready.write, server.life

            def finish() -> None:
                if server.life != life:
                    return
                server.disk.finish(write)
                if write.snapshot is not None and server.disk.snapshot is not None:
                    server.machine.commands = list(server.disk.snapshot.commands)
                    server.machine.applied_index = server.disk.snapshot.point.index
                self.step(server, WriteDone(write.number))

            self.at(max(server.hangs_until_ms - self.now_ms, 0) + self._write_delay_ms(), finish)
        for message in ready.messages:
            self.send(server, message)
        for read in ready.reads:
            operation = server.reads.pop(read.request_id, None)
            if operation is not None and read.index is not None:
                server.confirmed.append((read.index, operation))
        if ready.committed:
            self._apply(server, ready.committed)
            raft.advance(ready.committed[-1].index)

    def _apply(self, server: SimServer, committed: Sequence[LogEntry]) -> None:
        for entry in committed:
            for invariant in self.invariants:
                invariant.on_apply(self, server, entry)
            server.machine.applied_index = entry.index
            if entry.kind == EntryKind.COMMAND:
                server.machine.commands.append((entry.index, entry.data))
            if entry.index in server.writes:
                self.clients.complete(server.writes.pop(entry.index), entry.index)

    def _write_delay_ms(self) -> int:
        return self.rng.randint(50, 300) if self.rng.random() < self.slow_write_rate else self.rng.randint(0, 6)

    def _finish_reads(self, server: SimServer) -> None:
        waiting = []
        for index, operation in server.confirmed:
            if index <= server.machine.applied_index:
                self.clients.complete(operation, server.machine.version)
            else:
                waiting.append((index, operation))
        server.confirmed = waiting

    # --- messages ---

    def send(self, server: SimServer, message: Message) -> None:
        """Put a message on the network."""
        for invariant in self.invariants:
            invariant.on_send(self, server, message)
        delays_ms = self.network.delays_ms(message.sender, message.to)
        if isinstance(message, InstallSnapshot):
            self._send_snapshot(server, message, delays_ms[0] if delays_ms else None)
            return
        if isinstance(message, InstallSnapshotResponse) and not delays_ms:
            self._report_failure(self.servers[message.to], message.sender)
        target = self.servers[message.to]
        for delay_ms in delays_ms:
            self.at(delay_ms, lambda: self.step(target, message))

    def _send_snapshot(self, server: SimServer, message: InstallSnapshot, delay_ms: int | None) -> None:
        snapshot = server.disk.snapshot
        if snapshot is None or delay_ms is None:
            self._report_failure(server, message.to)
            return
        target = self.servers[message.to]

        def arrive() -> None:
            if target.raft is None:
                self._report_failure(server, message.to)
                return
            target.disk.keep(snapshot)
            self.step(target, replace(message, snapshot=snapshot.point))

        self.at(delay_ms + self.rng.randint(5, 60), arrive)

    def _report_failure(self, leader: SimServer, follower: str) -> None:
        self.at(100, lambda: self.step(leader, SnapshotFailed(follower)))

    # --- clients ---

    def write(self, server: SimServer) -> None:
        """A client writes a value that nobody else writes."""
        raft = server.raft
        if raft is None or raft.leadership is None or server.stalled_until_ms > self.now_ms or not raft.may_propose:
            return
        operation = self.clients.begin(is_write=True)
        server.writes[raft.log.last_index + 1] = operation
        self.step(server, Propose([b"w%d" % operation.number]))

    def read(self, server: SimServer) -> None:
        """A client reads, by ReadIndex."""
        if server.raft is None or server.raft.leadership is None:
            return
        operation = self.clients.begin(is_write=False)
        server.reads[operation.number] = operation
        self.step(server, ReadIndex([operation.number]))

    def read_by_lease(self, server: SimServer) -> None:
        """A client reads from a server that believes itself to hold the lease."""
        raft = server.raft
        if raft is None or server.stalled_until_ms > self.now_ms:
            return
        if raft.lease_until_ms > server.now_ms(self.now_ms):
            operation = self.clients.begin(is_write=False)
            self.clients.complete(operation, server.machine.version)
            for invariant in self.invariants:
                invariant.after_step(self, server, raft)
            self.clients.completed.clear()

    # --- snapshots ---

    def snapshot(self, server: SimServer, trailing: int) -> None:
        """Snapshot what a server has applied, then compact its log."""
        raft, machine = server.raft, server.machine
        if raft is None or raft.log.pending_snapshot is not None:
            return
        index = machine.applied_index
        term = raft.log.term(index)
        if index == 0 or term is None or index <= raft.log.snapshot_index:
            return
        point = SnapshotPoint(
            id=f"{server.id}-{index}", index=index, term=term, configuration=raft.configurations.at(index)
        )
        stored, life = StoredSnapshot(point, tuple(machine.commands)), server.life

        def finish() -> None:
            if server.life == life:
                server.disk.keep(stored)
                self.step(server, SnapshotSaved(point))
                server.disk.compact(index - trailing)

        self.at(self.rng.randint(1, 50), finish)
