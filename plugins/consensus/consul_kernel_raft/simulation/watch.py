"""Who calls the invariants of a world, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from consul_kernel.contracts.store import LogEntry
from consul_kernel.testing.simulation import ViolationError
from consul_kernel_raft.core.messages import Message

from .invariants import RaftInvariant

if TYPE_CHECKING:
    from .clients import Request
    from .server import Life
    from .world import World

_LOOK_EVERY_MS = 50
_STEPS_OF_A_MOMENT = 4_096
"""Steps, a power of two, in which time must pass: more than wait for a server that stood still."""


class Watch:
    """All invariants of one world."""

    def __init__(self, world: World, invariants: Sequence[RaftInvariant]) -> None:
        self._world = world
        self.invariants = tuple(invariants)
        self.steps = 0
        self._started = [one.started for one in invariants if _defines(one, "started")]
        self._after_step = [one.after_step for one in invariants if _defines(one, "after_step")]
        self._changed = [one.changed for one in invariants if _defines(one, "changed")]
        self._sending = [one.sending for one in invariants if _defines(one, "sending")]
        self._applying = [one.applying for one in invariants if _defines(one, "applying")]
        self._finished = [one.finished for one in invariants if _defines(one, "finished")]
        self._look = [one.look for one in invariants if _defines(one, "look")]
        self._seen: dict[str, tuple[object, ...]] = {}
        self._moment_ms = -1
        world.timeline.after(_LOOK_EVERY_MS, self.look)

    def started(self, life: Life) -> None:
        for look in self._started:
            look(self._world, life)

    def after_step(self, life: Life) -> None:
        self.steps += 1
        if not self.steps % _STEPS_OF_A_MOMENT:
            self._check_pace(life)
        world, raft, name = self._world, life.raft, life.name
        log = raft.log
        seen = (
            life.number,
            raft.term,
            raft.role,
            log.last_index,
            log.last_term,
            raft.commit_index,
            raft.applied_index,
            life.server.machine.applied_index,
            raft.configurations.latest,
        )
        for look in self._after_step:
            look(world, life)
        if self._seen.get(name) != seen:
            self._seen[name] = seen
            for look in self._changed:
                look(world, life)

    def _check_pace(self, life: Life) -> None:
        now_ms = self._world.timeline.now_ms
        if now_ms == self._moment_ms:
            raise ViolationError(f"{life.name} and others take {_STEPS_OF_A_MOMENT} steps without an end")
        self._moment_ms = now_ms

    def sending(self, life: Life, message: Message) -> None:
        for look in self._sending:
            look(self._world, life, message)

    def applying(self, life: Life, entry: LogEntry) -> None:
        for look in self._applying:
            look(self._world, life, entry)

    def finished(self, request: Request, version: int) -> None:
        for look in self._finished:
            look(self._world, request, version)

    def look(self) -> None:
        self._world.timeline.after(_LOOK_EVERY_MS, self.look)
        for look in self._look:
            look(self._world)

    def check_rest(self) -> None:
        """Let every invariant judge a world at rest. Raises ViolationError."""
        for invariant in self.invariants:
            invariant.at_rest(self._world)


def _defines(invariant: RaftInvariant, method: str) -> bool:
    return getattr(type(invariant), method) is not getattr(RaftInvariant, method)
