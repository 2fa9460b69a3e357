"""One server of the simulated quorum: what survives a crash, and the life that it leads until the next."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from consul_kernel.contracts.consensus import Server
from consul_kernel.contracts.store import LogEntry
from consul_kernel.testing.simulation import Clock, Process
from consul_kernel_raft.core import Event, OutOfRoom, Raft, ReadState, Ready, RoomAgain, Timer, Write, WriteDone
from consul_kernel_raft.core.entry import EntryKind
from consul_kernel_raft.core.room import LOG, STATE

from .clients import Request
from .machine import Machine
from .storage import Storage

if TYPE_CHECKING:
    from .world import World

_TIMER = Timer()
_RETRY_MS = 50
"""How long a server waits before it looks whether its disk has room again."""


class SimServer:
    """A server by its name. Its clock starts anywhere and goes at a rate of its own."""

    def __init__(self, name: str, clock: Clock, storage: Storage) -> None:
        self.id = name
        self.server = Server(name, f"{name}:8300")
        self.clock = clock
        self.storage = storage
        self.machine = Machine()
        self.lives = 0
        self.life: Life | None = None
        """The one that runs; None while the server is down."""

    @property
    def raft(self) -> Raft | None:
        """The algorithm, while the server runs."""
        return None if self.life is None else self.life.raft

    @property
    def running(self) -> Life:
        """The life of a server that is known to run."""
        assert self.life is not None
        return self.life

    def set_clock(self, clock: Clock) -> None:
        """Go by another clock from now on."""
        self.clock = clock
        if self.life is not None:
            self.life.clock = clock
            self.life.give(_TIMER)


class CrashError(Exception):
    """The process ends here, in the middle of something."""


class Life(Process[Event]):
    """From a start to a crash. It does what `driver.RaftConsensus` does with a `Ready`, in the same order.

    `fuse` counts down with each thing that others or the disk could see; at zero the process crashes, in the middle of
    whatever it does. As the driver does, a life may take in several events before it looks at what there is to do.
    """

    def __init__(self, server: SimServer, raft: Raft, world: World, rng: random.Random) -> None:
        super().__init__(server.id, world.timeline, server.clock)
        self.server = server
        self.raft = raft
        self.number = server.lives
        self.fuse: int | None = None
        self.writes: dict[int, Request] = {}
        """Proposals that this server appended as leader, by index."""
        self.reads: dict[int, Request] = {}
        self.confirmed: list[tuple[int, Request]] = []
        self.transfers: dict[str, int] = {}
        """Snapshots that are under way to others: the number of each."""
        self._world = world
        self._rng = rng
        self._turn_is_due = False
        self._waits_for_room = False

    def begin(self) -> None:
        """Do what there is to do at the start, and wait for the first deadline."""
        self.turn()
        self._rearm()

    # --- Process ---

    def handle(self, event: Event, now_ms: int) -> None:
        try:
            if self.fuse is not None:
                self._burn()
            self._world.note(self.name, event)
            self.raft.step(event, now_ms)
            if self._turn_is_due or self._turn_comes_late():
                self._world.check(self)
            else:
                self.turn()
        except CrashError:
            self._world.crash(self.server)

    def deadline_ms(self) -> int | None:
        return self.raft.deadline_ms()

    def timer_event(self) -> Event:
        return _TIMER

    def now_ms(self) -> int:
        """By the server's own clock."""
        return self.clock.now_ms(self.timeline.now_ms)

    def _burn(self) -> None:
        assert self.fuse is not None
        self.fuse -= 1
        if self.fuse < 0:
            raise CrashError

    # --- the turn ---

    def _turn_comes_late(self) -> bool:
        rate = self._world.slow_turn_rate
        if not rate or self._rng.random() >= rate:
            return False
        self._turn_is_due = True
        self.timeline.after(self._rng.randint(0, 2), self._late_turn)
        return True

    def _late_turn(self) -> None:
        if not self.running:
            return
        if self.is_stalled:
            self.timeline.after(1, self._late_turn)
            return
        self._turn_is_due = False
        try:
            self.turn()
        except CrashError:
            self._world.crash(self.server)
        else:
            self._rearm()

    def turn(self) -> None:
        """Do what the algorithm asks for until it asks for nothing."""
        raft = self.raft
        while (ready := raft.ready()) is not None:
            self._carry_out(ready)
        if raft.leadership is None:
            self.writes.clear()  # how they went is unknown
        if self.confirmed:
            self._finish_reads()
        self._world.check(self)

    def _carry_out(self, ready: Ready) -> None:
        world = self._world
        if ready.write is not None:
            if self.fuse is not None:
                self._burn()
            self._begin_write(ready.write)
        for message in ready.messages:
            if self.fuse is not None:
                self._burn()
            world.send(self, message)
        for read in ready.reads:
            self._read_confirmed(read)
        if ready.committed:
            self._apply(ready.committed)

    def _apply(self, committed: Sequence[LogEntry]) -> None:
        if self.server.storage.is_full and any(entry.kind == EntryKind.COMMAND for entry in committed):
            self.raft.step(OutOfRoom(STATE), self.raft.stepped_ms)
            self.timeline.after(_RETRY_MS, self.give, RoomAgain(STATE))
            return
        world = self._world
        for entry in committed:
            if self.fuse is not None:
                self._burn()
            world.apply(self, entry)
            request = self.writes.pop(entry.index, None)
            if request is not None and request.term == entry.term:
                world.clients.finish(request, entry.index)
        self.raft.advance(committed[-1].index)

    def _begin_write(self, write: Write) -> None:
        """As soon as there is room for it."""
        if not self.running:
            return
        if not self.server.storage.is_full:
            self.server.storage.write(write, partial(self._written, write))
            return
        if not self._waits_for_room:
            self._waits_for_room = True
            self.timeline.after(0, self.give, OutOfRoom(LOG))
        self.timeline.after(_RETRY_MS, self._begin_write, write)

    def _written(self, write: Write) -> None:
        if self._waits_for_room:
            self._waits_for_room = False
            self.give(RoomAgain(LOG))
        if write.snapshot is not None:
            self.server.machine = self.server.storage.find(write.snapshot.id).state.copy()
        self.give(WriteDone(write.number))

    def _read_confirmed(self, read: ReadState) -> None:
        request = self.reads.pop(read.request_id, None)
        if request is not None and read.index is not None:
            self.confirmed.append((read.index, request))

    def _finish_reads(self) -> None:
        waiting, machine = [], self.server.machine
        for index, request in self.confirmed:
            if index <= machine.applied_index:
                self._world.clients.finish(request, machine.version, machine.read(request.key))
            else:
                waiting.append((index, request))
        self.confirmed = waiting
