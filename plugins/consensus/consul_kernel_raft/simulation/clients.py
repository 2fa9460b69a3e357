"""Clients of the simulated registers: what they ask for, what they were told, and what all had seen by then."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consul_kernel.testing.simulation import History, Operation

if TYPE_CHECKING:
    from .server import SimServer
    from .world import World

KEYS = ("a", "b", "c")


@dataclass(slots=True)
class Request:
    """One operation under way. `floor` is the newest version of the state that anybody had seen when it began."""

    number: int
    operation: Operation
    floor: int
    term: int = 0
    """Of a write: the term in which it was appended."""

    @property
    def key(self) -> str:
        return self.operation.key


class Clients:
    """Every write has a value of its own. Operations without an answer stay in the history as such."""

    def __init__(self, rng: random.Random, on_finished: Callable[[Request, int], None]) -> None:
        self.history = History()
        self.newest = 0
        """The newest version of the state that any finished operation has seen."""
        self.writes = 0
        self.reads = 0
        self._rng = rng
        self._on_finished = on_finished

    def begin_write(self) -> Request:
        """Somebody writes a value that nobody else writes."""
        number = len(self.history)
        return Request(number, self.history.begin_write(self._rng.choice(KEYS), f"w{number}"), self.newest)

    def begin_read(self) -> Request:
        """Somebody reads."""
        number = len(self.history)
        return Request(number, self.history.begin_read(self._rng.choice(KEYS)), self.newest)

    def finish(self, request: Request, version: int, value: str | None = None) -> None:
        """It was written at `version`, or read from a state of that version."""
        self.history.end(request.operation, value)
        if request.operation.is_write:
            self.writes += 1
        else:
            self.reads += 1
        self._on_finished(request, version)
        self.newest = max(self.newest, version)


class Workload:
    """Somebody asks for something every `interval_ms` on average: most times of a server that leads."""

    def __init__(self, world: World, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self._world = world
        self._stopped = False
        world.timeline.after(0, self._ask)

    def stop(self) -> None:
        """Nobody asks for anything any more."""
        self._stopped = True

    def _ask(self) -> None:
        if self._stopped:
            return
        world, rng = self._world, self._world.rng
        choice = rng.random()
        leaders = world.leaders() if choice < 0.9 else ()
        servers: Sequence[SimServer] = leaders or list(world.servers.values())
        server = rng.choice(servers)
        if choice < 0.4:
            world.write(server)
        elif choice < 0.5:
            world.write(server, rng.randint(2, 4))
        elif choice < 0.7:
            world.read(server)
        else:
            world.read_by_lease(server)
        world.timeline.after(rng.randint(1, 2 * self.interval_ms), self._ask)
