"""What every part of one core shares: time, randomness, timers, and the list of effects being built."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from consul_kernel.contracts.membership_capabilities import KeyringOutcome, QueryOutcome
from consul_kernel.contracts.transport import Address

from .events import CommandDone, Dial, Effect, Warn
from .settings import Settings
from .streams import StreamMessage
from .timers import Timer, Timers

OnReply = Callable[[StreamMessage], None]
OnFailure = Callable[[str], None]

_DIALS_MAX = 1024


class Environment:
    """Owned by `Swim`; the parts borrow it. `counters` says how often something odd was seen, by name."""

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self.settings = settings
        self.rng = rng
        self.now_ms = 0
        self.now_us = 0
        self.timers = Timers()
        self.effects: list[Effect] = []
        self.counters: Counter[str] = Counter()
        self._dials: dict[int, tuple[OnReply, OnFailure]] = {}
        self._last_dial = 0

    def after(self, delay_ms: int, action: Callable[[], None]) -> Timer:
        """Run `action` in `delay_ms`."""
        return self.timers.schedule(self.now_ms + delay_ms, action)

    def count(self, what: str) -> None:
        """Count one occurrence."""
        self.counters[what] += 1

    def warn(self, text: str) -> None:
        """Put a line before the operator."""
        self.effects.append(Warn(text))

    def finish(
        self, command_id: int, error: str | None = None, outcome: QueryOutcome | KeyringOutcome | None = None
    ) -> None:
        """Report a local command as done."""
        self.effects.append(CommandDone(command_id, error, outcome))

    def dial(self, to: Address, request: bytes, timeout_ms: int, on_reply: OnReply, on_failure: OnFailure) -> None:
        """Ask for an exchange over a stream; exactly one of the two is called later."""
        if len(self._dials) >= _DIALS_MAX:
            self.count("dials_refused")
            on_failure("too many exchanges under way")
            return
        self._last_dial += 1
        self._dials[self._last_dial] = (on_reply, on_failure)
        self.effects.append(Dial(self._last_dial, to, request, timeout_ms))

    def settle_dial(self, dial_id: int, outcome: StreamMessage | str) -> None:
        """Hand an exchange's outcome, a message or the reason of a failure, to whoever asked for it."""
        waiting = self._dials.pop(dial_id, None)
        if waiting is None:
            return
        on_reply, on_failure = waiting
        if isinstance(outcome, str):
            on_failure(outcome)
        else:
            on_reply(outcome)
