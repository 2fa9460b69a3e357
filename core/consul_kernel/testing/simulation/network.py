"""A network that loses, delays, duplicates and reorders, with partitions and links that work in one direction only.

It decides what happens to a message; the world that owns it carries messages and delivers them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What every link does to what is sent; rates are between 0 and 1, times in ms.

    A delay is drawn evenly from `delay_ms`, and evenly from `late_ms` for the share `late_rate` of the messages: the
    tail of the distribution, and what puts messages out of order.
    """

    loss_rate: float = 0.0
    duplicate_rate: float = 0.0
    delay_ms: tuple[int, int] = (0, 5)
    late_rate: float = 0.0
    late_ms: tuple[int, int] = (50, 1_000)


class Cut:
    """Nothing gets from the senders to the receivers; None stands for everybody who is not on the other side."""

    __slots__ = ("receivers", "senders")

    def __init__(self, senders: frozenset[str] | None, receivers: frozenset[str] | None) -> None:
        self.senders = senders
        self.receivers = receivers

    def blocks(self, sender: str, receiver: str) -> bool:
        senders, receivers = self.senders, self.receivers
        if senders is None:
            return receivers is not None and receiver in receivers and sender not in receivers
        if sender not in senders:
            return False
        return receiver not in senders if receivers is None else receiver in receivers


class Lag:
    """What gets from the senders to the receivers takes longer by `extra_ms`."""

    __slots__ = ("extra_ms", "receivers", "senders")

    def __init__(self, senders: frozenset[str], receivers: frozenset[str], extra_ms: int) -> None:
        self.senders = senders
        self.receivers = receivers
        self.extra_ms = extra_ms


class Network:
    """Links between members that are known by their names. `conditions` are those of the moment."""

    def __init__(self, rng: random.Random, conditions: Conditions | None = None) -> None:
        self._rng = rng
        self.conditions = self._usual = conditions or Conditions()
        self._spells: list[Conditions] = []
        self._cuts: list[Cut] = []
        self._lags: list[Lag] = []

    def delays_ms(self, sender: str, receiver: str) -> Sequence[int]:
        """One delay for each copy of a packet that arrives; none when it is lost."""
        conditions, rng = self.conditions, self._rng
        if conditions.loss_rate and rng.random() < conditions.loss_rate:
            return ()
        if self._cuts and not self.reaches(sender, receiver):
            return ()
        extra_ms = self._extra_ms(sender, receiver) if self._lags else 0
        if conditions.duplicate_rate and rng.random() < conditions.duplicate_rate:
            return self.delay_ms() + extra_ms, self.delay_ms() + extra_ms
        return (self.delay_ms() + extra_ms,)

    def delay_ms(self) -> int:
        """The delay of one packet that arrives."""
        conditions, rng = self.conditions, self._rng
        low, high = conditions.delay_ms
        if conditions.late_rate and rng.random() < conditions.late_rate:
            low, high = conditions.late_ms
        return low + int(rng.random() * (high - low + 1))

    def stream_delay_ms(self, sender: str, receiver: str, *, resend_ms: int = 200) -> int | None:
        """The delay of what goes one way over a stream: what is lost is sent again, each time after twice the wait.

        None when nothing gets through in either of the directions that a stream needs.
        """
        if self._cuts and not (self.reaches(sender, receiver) and self.reaches(receiver, sender)):
            return None
        delay = self.delay_ms() + self._extra_ms(sender, receiver)
        while self.conditions.loss_rate and self._rng.random() < self.conditions.loss_rate:
            if resend_ms > 60_000:
                return None
            delay += resend_ms
            resend_ms *= 2
        return delay

    # --- partitions ---

    def reaches(self, sender: str, receiver: str) -> bool:
        """Whether no cut is in the way."""
        return not any(cut.blocks(sender, receiver) for cut in self._cuts)

    def cut(self, senders: Iterable[str] | None, receivers: Iterable[str] | None) -> Cut:
        """Lose everything in one direction; None stands for everybody else."""
        cut = Cut(
            None if senders is None else frozenset(senders),
            None if receivers is None else frozenset(receivers),
        )
        self._cuts.append(cut)
        return cut

    def split(self, group: Iterable[str]) -> tuple[Cut, Cut]:
        """Cut a group off from everybody else, in both directions."""
        members = frozenset(group)
        return self.cut(members, None), self.cut(None, members)

    def lag(self, senders: Iterable[str], receivers: Iterable[str], extra_ms: int) -> Lag:
        """Delay everything in one direction."""
        lag = Lag(frozenset(senders), frozenset(receivers), extra_ms)
        self._lags.append(lag)
        return lag

    def _extra_ms(self, sender: str, receiver: str) -> int:
        return sum(lag.extra_ms for lag in self._lags if sender in lag.senders and receiver in lag.receivers)

    # --- weather ---

    def worsen(self, conditions: Conditions) -> Conditions:
        """A spell of bad weather: of each figure the worst holds, until the same object is mended."""
        self._spells.append(conditions)
        self._combine()
        return conditions

    def _combine(self) -> None:
        every = [self._usual, *self._spells]
        late = [spell for spell in every if spell.late_rate]
        self.conditions = Conditions(
            loss_rate=max(spell.loss_rate for spell in every),
            duplicate_rate=max(spell.duplicate_rate for spell in every),
            delay_ms=max((spell.delay_ms for spell in every), key=lambda delay: delay[1]),
            late_rate=max(spell.late_rate for spell in every),
            late_ms=max((spell.late_ms for spell in late), key=lambda delay: delay[1], default=self._usual.late_ms),
        )

    # --- an end to it ---

    def mend(self, *faults: Cut | Lag | Conditions) -> None:
        """End cuts, lags and spells; those that have ended already do not matter."""
        ended = {id(fault) for fault in faults}
        self._cuts = [cut for cut in self._cuts if id(cut) not in ended]
        self._lags = [lag for lag in self._lags if id(lag) not in ended]
        self._spells = [spell for spell in self._spells if id(spell) not in ended]
        self._combine()

    def become_calm(self, conditions: Conditions | None = None) -> None:
        """No cuts, lags and spells any more, and other conditions: the best by default."""
        self._cuts.clear()
        self._lags.clear()
        self._spells.clear()
        self._usual = conditions or Conditions()
        self._combine()
