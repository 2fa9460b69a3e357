"""One protocol core under simulation: it takes events, is woken for its deadline, falls behind, and dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from .timeline import Timeline

EventT = TypeVar("EventT")
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Clock:
    """A process's own clock: it starts anywhere and goes a little too fast or too slow."""

    offset_ms: int = 0
    rate: float = 1.0

    def now_ms(self, world_ms: int) -> int:
        """What it shows at a moment of the world."""
        return self.offset_ms + int(world_ms * self.rate)

    def world_ms(self, own_ms: int) -> int:
        """The first moment of the world at which it shows at least this."""
        if self.rate == 1.0:
            return own_ms - self.offset_ms
        return int((own_ms - self.offset_ms) / self.rate) + 1

    def at_rate(self, rate: float, world_ms: int) -> Clock:
        """The clock that shows the same at this moment of the world, and then goes at another rate."""
        return Clock(self.now_ms(world_ms) - int(world_ms * rate), rate)


class Process(Generic[EventT]):
    """One life of one member: a restart is another object. Subclasses say how an event is handled.

    While it is stalled, whether by a slow machine or a long collection of garbage, events wait in an inbox; when that
    is full, further ones are dropped and counted, as a socket's buffer does it.
    """

    def __init__(self, name: str, timeline: Timeline, clock: Clock, inbox_max: int = 4_096) -> None:
        self.name = name
        self.timeline = timeline
        self.clock = clock
        self.running = True
        self.steps = 0
        self.dropped = 0
        self._inbox_max = inbox_max
        self._inbox: deque[EventT] | None = None
        self._stalled_until_ms = 0
        self._wake_at_ms = _NEVER

    # --- what a subclass says ---

    def handle(self, event: EventT, now_ms: int) -> None:
        """Step the core at `now_ms` of its own clock, and carry out what it asks for."""
        raise NotImplementedError

    def deadline_ms(self) -> int | None:
        """When the core wants to be woken, by its own clock."""
        raise NotImplementedError

    def timer_event(self) -> EventT:
        """The event that says that time has passed."""
        raise NotImplementedError

    # --- what the world does ---

    def give(self, event: EventT) -> None:
        """Hand over an event: at once, or as soon as the process is no longer stalled. The dead take nothing."""
        if not self.running:
            return
        if self._inbox is not None:
            if len(self._inbox) < self._inbox_max:
                self._inbox.append(event)
            else:
                self.dropped += 1
            return
        self.steps += 1
        self.handle(event, self.clock.now_ms(self.timeline.now_ms))
        self._rearm()

    def stall(self, duration_ms: int) -> None:
        """Do nothing for a while, timers included."""
        until_ms = self.timeline.now_ms + duration_ms
        if not self.running or until_ms <= self._stalled_until_ms:
            return
        self._stalled_until_ms = until_ms
        if self._inbox is None:
            self._inbox = deque()
        self.timeline.at(until_ms, self._end_stall, until_ms)

    def resume(self) -> None:
        """End a stall before its time."""
        self._stalled_until_ms = self.timeline.now_ms
        self._end_stall(self.timeline.now_ms)

    def _end_stall(self, until_ms: int) -> None:
        if until_ms != self._stalled_until_ms or self._inbox is None:
            return
        waiting, self._inbox = self._inbox, None
        self.catch_up(waiting)
        self.give(self.timer_event())

    def catch_up(self, waiting: Iterable[EventT]) -> None:
        """Take what came during a stall, before the timers are looked at. Subclasses may know better than to hurry."""
        for event in waiting:
            self.give(event)

    @property
    def is_stalled(self) -> bool:
        return self._inbox is not None

    def crash(self) -> None:
        """End without a word."""
        self.running = False
        self._inbox = None

    # --- waking ---

    def _rearm(self) -> None:
        """See to it that a wake-up comes no later than the deadline. One that comes earlier looks again."""
        deadline_ms = self.deadline_ms()
        if deadline_ms is None:
            return
        at_ms = max(self.clock.world_ms(deadline_ms), self.timeline.now_ms)
        if at_ms < self._wake_at_ms:
            self._wake_at_ms = at_ms
            self.timeline.at(at_ms, self._wake, at_ms)

    def _wake(self, at_ms: int) -> None:
        if at_ms != self._wake_at_ms or not self.running:
            return
        self._wake_at_ms = _NEVER
        if self._inbox is not None:
            return  # the end of the stall looks at the time
        deadline_ms = self.deadline_ms()
        if deadline_ms is not None and deadline_ms <= self.clock.now_ms(self.timeline.now_ms):
            self.give(self.timer_event())
        else:
            self._rearm()
