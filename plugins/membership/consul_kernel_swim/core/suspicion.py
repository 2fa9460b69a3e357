"""Lifeguard: suspicion that shortens as independent accusers confirm it, and awareness of our own health.

Source: Dadgar, Phillips, Currey, "Lifeguard: Local Health Awareness for More Accurate Failure Detection", 2017,
sections IV.A (local health multiplier) and IV.C (dynamic suspicion), with memberlist's figures.
"""

from __future__ import annotations

import math

from .timers import Timer


def suspicion_timeout_ms(mult: int, node_count: int, interval_ms: int) -> int:
    """The shortest time for which a node of a pool of `node_count` stays suspected."""
    scale = int(max(1.0, math.log10(max(1, node_count))) * 1000)
    return mult * scale * interval_ms // 1000


class Suspicion:
    """One running suspicion. `confirmations_max` independent accusers bring it down to `min_ms`."""

    __slots__ = ("_accusers", "_confirmations", "confirmations_max", "max_ms", "min_ms", "since_ms", "timer")

    def __init__(self, accuser: str, confirmations_max: int, min_ms: int, max_ms: int, now_ms: int) -> None:
        self.confirmations_max = confirmations_max
        self.min_ms = min_ms
        self.max_ms = max_ms
        self.since_ms = now_ms
        self.timer: Timer | None = None
        self._accusers = {accuser}
        self._confirmations = 0

    def deadline_ms(self) -> int:
        """When the suspected node is declared dead, unless it refutes before."""
        if self.confirmations_max < 1:
            return self.since_ms + self.min_ms
        fraction = math.log(self._confirmations + 1) / math.log(self.confirmations_max + 1)
        timeout = math.floor(self.max_ms - fraction * (self.max_ms - self.min_ms))
        return self.since_ms + max(self.min_ms, timeout)

    def confirm(self, accuser: str) -> bool:
        """Another accusation; True when it is news that shortens the suspicion."""
        if self._confirmations >= self.confirmations_max or accuser in self._accusers:
            return False
        self._accusers.add(accuser)
        self._confirmations += 1
        return True

    def cancel(self) -> None:
        """The suspicion is over."""
        if self.timer is not None:
            self.timer.cancel()


class Awareness:
    """How much we doubt our own health: 0 is well, `limit - 1` the most."""

    __slots__ = ("_limit", "score")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.score = 0

    def adjust(self, delta: int) -> None:
        self.score = min(max(self.score + delta, 0), self._limit - 1)

    def scale(self, interval_ms: int) -> int:
        """An interval, longer the worse our health is."""
        return interval_ms * (self.score + 1)
