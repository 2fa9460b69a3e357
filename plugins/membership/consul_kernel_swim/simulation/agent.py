"""One agent of the simulated pool: a core, and what it has reported in this life."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.testing.simulation import Clock, Process, Timeline
from consul_kernel_swim.core.events import Input, PacketReceived, TimerFired
from consul_kernel_swim.core.swim import Swim

if TYPE_CHECKING:
    from .world import World

_TIMER = TimerFired()
_LATE_MS = 100


def tags_of(name: str) -> dict[str, str]:
    """Tags of the length that a client agent's have."""
    return {
        "build": "1.10.11:consul-kernel",
        "dc": "dc1",
        "id": f"00000000-0000-0000-0000-{name[1:]:0>12}",
        "role": "node",
        "segment": "",
        "vsn": "2",
        "vsn_max": "3",
        "vsn_min": "2",
    }


class Agent(Process[Input]):
    """A life of its own for each start: who starts again is another object under the same name."""

    def __init__(self, name: str, address: Address, swim: Swim, world: World, timeline: Timeline, clock: Clock) -> None:
        super().__init__(name, timeline, clock)
        self.address = address
        self.swim = swim
        self.started_ms = timeline.now_ms
        self.joined_ms: int | None = None
        """When a join succeeded first; who was there from the beginning has joined at the start."""
        self.ended_ms: int | None = None
        self.is_leaving = False
        self.leaving_ms = 0
        self.left_in_calm = False
        self.done: dict[int, str | None] = {}
        self.user_events: Counter[tuple[str, bytes]] = Counter()
        self.is_plain = not swim.settings.digests
        """Whether it exchanges whole states only, and passes on what memberlist would."""
        self._world = world

    def handle(self, event: Input, now_ms: int) -> None:
        perform = self._world.perform
        for effect in self.swim.step(event, now_ms):
            perform(self, effect)

    def catch_up(self, waiting: Iterable[Input]) -> None:
        """As agents do it (`pump.py`): in the time before the timers were due, so that nobody is accused whose answer
        has arrived. An impatient one lets the timers go off behind the first packet.
        """
        now_ms, due_ms = self.clock.now_ms(self.timeline.now_ms), self.deadline_ms()
        late = due_ms is not None and now_ms - due_ms > _LATE_MS
        if due_ms is None or not late or not self._world.is_patient:
            super().catch_up(waiting)
            return
        for event in waiting:
            self.steps += 1
            is_packet = isinstance(event, PacketReceived)
            self.handle(msgspec.structs.replace(event, is_late=True) if is_packet else event, due_ms - 1)

    def crash(self) -> None:
        if self.running:
            self.ended_ms = self.timeline.now_ms
        super().crash()

    def deadline_ms(self) -> int | None:
        return self.swim.deadline_ms()

    def timer_event(self) -> Input:
        return _TIMER

    def status_of(self, name: str) -> MemberStatus | None:
        """How this agent sees a member; None for one that it does not know."""
        member = self.swim.serf.roster.get(name)
        return None if member is None else member.status
