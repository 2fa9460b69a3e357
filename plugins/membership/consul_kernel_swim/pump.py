"""One task steps the core: fed by the inbox, woken by one timer, and patient with itself after a standstill."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from consul_kernel.contracts.membership import MembershipContext
from consul_kernel.contracts.transport import Address

from .core.events import Effect, Input, PacketReceived, TimerFired
from .core.swim import Swim
from .inbox import Inbox

logger = logging.getLogger("consul_kernel.swim")

_STEPS_PER_TURN: Final = 256
_TURN_S: Final = 0.005
"""After so long the others of the event loop have their turn, though there is more in the inbox."""
_LATE_MS: Final = 100
"""A timer that is served so much later shows that the agent stood still, or was kept from its work."""
_CATCHING_UP_MAX: Final = 16
_NOT_ARMED: Final = -1
_FAULT: Final = "pool %s: a fault while handling %s"


class Pump:
    """`perform` does what the core wants done, in order; `after_turn` is called when the core has been stepped."""

    def __init__(
        self,
        context: MembershipContext,
        counters: Counter[str],
        perform: Callable[[Effect], None],
        after_turn: Callable[[], None],
    ) -> None:
        self._context = context
        self._counters = counters
        self._perform = perform
        self._after_turn = after_turn
        self._swim: Swim | None = None
        self._inbox = Inbox(counters)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due_ms = _NOT_ARMED

    def start(self, swim: Swim, first: Input) -> None:
        """Step the core through its first input at once, and go on from there."""
        self._swim = swim
        self._step(swim, first, self._context.now_ms())
        self._rearm(swim)
        self._task = asyncio.create_task(self._run(swim), name=f"swim-{self._context.pool}")

    @property
    def is_started(self) -> bool:
        return self._task is not None

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # --- inputs ---

    def post(self, event: Input) -> None:
        """Something else than a packet."""
        self._inbox.post(event)
        self._wake.set()

    def post_packet(self, packet: bytes, source: Address) -> None:
        """A packet, opened, as soon as it has been read; dropped where there is no room."""
        context = self._context
        arrived_us = None if context.now_us is None else context.now_us()
        self._inbox.post_packet(PacketReceived(packet, source, arrived_us, self._is_late()))
        self._wake.set()

    # --- turns ---

    async def _run(self, swim: Swim) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._is_late():
                await self._catch_up(swim)
            self._take(swim, self._context.now_ms())
            if self._inbox:
                self._wake.set()
                await asyncio.sleep(0)
            self._after_turn()
            self._rearm(swim)

    def _take(self, swim: Swim, now_ms: int) -> int:
        """Step the core through some of what waits, or through the time alone; how many inputs there were.

        All of a turn is at one time, so that a handler that blocks in it is noticed before the next timers.
        """
        count = min(_STEPS_PER_TURN, len(self._inbox))
        if not count:
            self._step(swim, TimerFired(), now_ms)
            return 0
        clock = asyncio.get_running_loop().time
        ends_at = clock() + _TURN_S
        for taken in range(1, count + 1):
            self._step(swim, self._inbox.take(), now_ms)
            if clock() >= ends_at:
                return taken
        return count

    def _is_late(self) -> bool:
        """Whether the core's timers should have been served long ago."""
        return self._due_ms != _NOT_ARMED and self._context.now_ms() - self._due_ms > _LATE_MS

    async def _catch_up(self, swim: Swim) -> None:
        """After this agent stood still, first take what came meanwhile, in the time before its timers were due.

        Otherwise it would accuse those whose answers lie in its own socket.
        """
        self._counters["standstills"] += 1
        before_ms = self._due_ms - 1
        empty = 0
        for _ in range(_CATCHING_UP_MAX):
            empty = 0 if self._take(swim, before_ms) else empty + 1
            if empty == 2:  # the loop has looked at the sockets in between, and there was nothing
                return
            await asyncio.sleep(0)

    def _step(self, swim: Swim, event: Input, now_ms: int) -> None:
        """A fault of ours in one input, or in one effect, must not stop the agent's failure detection.

        Nor may it take other effects along: among them may be the end that a command waits for.
        """
        try:
            now_us = None if self._context.now_us is None else self._context.now_us()
            effects = swim.step(event, now_ms, now_us)
        except Exception:
            logger.exception(_FAULT, self._context.pool, type(event).__name__)
            self._counters["step_faults"] += 1
            return
        for effect in effects:
            try:
                self._perform(effect)
            except Exception:
                logger.exception(_FAULT, self._context.pool, type(effect).__name__)
                self._counters["step_faults"] += 1

    def _rearm(self, swim: Swim) -> None:
        """One timer for the core's next deadline."""
        deadline_ms = swim.deadline_ms()
        if deadline_ms is None or (deadline_ms == self._due_ms and self._timer is not None):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_ms = max(0, deadline_ms - self._context.now_ms())
        self._due_ms = deadline_ms
        self._timer = asyncio.get_running_loop().call_later(delay_ms / 1000, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._wake.set()
