"""What parts count with. Counting is a few additions; everything else waits until somebody looks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from consul_kernel.contracts.metrics import Labels

RECENT = 256
"""Of how many of the newest values quantiles are told."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What came together in an interval (go-metrics: `AggregateSample`)."""

    count: int
    sum: float
    sum_squares: float
    min: float
    max: float

    @property
    def mean(self) -> float:
        """The mean; 0 of nothing."""
        return self.sum / self.count if self.count else 0.0

    @property
    def stddev(self) -> float:
        """The standard deviation of a sample; 0 of less than two."""
        if self.count < 2:
            return 0.0
        spread = self.count * self.sum_squares - self.sum * self.sum
        return math.sqrt(max(0.0, spread) / (self.count * (self.count - 1)))


class CounterInstrument:
    """Implements `contracts.metrics.Counter`. Each time is one increment of one."""

    __slots__ = ("_followed", "_total_before", "labels", "name", "value")

    def __init__(self, name: str, labels: Labels) -> None:
        self.name = name
        self.labels = labels
        self.value: float = 0
        """In the interval that runs."""
        self._total_before: float = 0
        self._followed: float = 0

    def add(self, count: float = 1) -> None:
        """So many times more."""
        self.value += count

    def follow(self, total: float) -> None:
        """As much more as a total has grown; one that is smaller has begun anew."""
        self.value += total - self._followed if total >= self._followed else total
        self._followed = total

    @property
    def total(self) -> float:
        """Since the agent started."""
        return self._total_before + self.value

    def look(self) -> Aggregate | None:
        """The interval so far; None when nothing happened."""
        if not self.value:
            return None
        return Aggregate(round(self.value), self.value, self.value, 1.0, 1.0)

    def begin(self) -> None:
        """The next interval."""
        self._total_before += self.value
        self.value = 0


class GaugeInstrument:
    """Implements `contracts.metrics.Gauge`."""

    __slots__ = ("labels", "name", "value")

    def __init__(self, name: str, labels: Labels) -> None:
        self.name = name
        self.labels = labels
        self.value: float | None = None

    def set(self, value: float) -> None:
        """So much, as of now."""
        self.value = value


class SampleInstrument:
    """Implements `contracts.metrics.Sample`. Values are put down as they come, and added up by the hundreds."""

    __slots__ = (
        "_count",
        "_max",
        "_min",
        "_pending",
        "_recent",
        "_sum",
        "_sum_squares",
        "_total",
        "alias",
        "labels",
        "name",
    )

    def __init__(self, name: str, labels: Labels, alias: str) -> None:
        self.name = name
        self.labels = labels
        self.alias = alias
        self._pending: list[float] = []
        self._recent: list[float] = []
        self._total: tuple[int, float] = (0, 0.0)
        self._count = 0
        self._sum = 0.0
        self._sum_squares = 0.0
        self._min = math.inf
        self._max = -math.inf

    def add(self, value: float, count: int = 1) -> None:
        """One value, or as many of the same."""
        pending = self._pending
        pending.append(value)
        if count > 1:
            self._count += count - 1
            self._sum += value * (count - 1)
            self._sum_squares += value * value * (count - 1)
        if len(pending) >= RECENT:
            self._add_up()

    def look(self) -> Aggregate | None:
        """The interval so far; None when nothing came."""
        self._add_up()
        if not self._count:
            return None
        return Aggregate(self._count, self._sum, self._sum_squares, self._min, self._max)

    def totals(self) -> tuple[int, float]:
        """How many and their sum, since the agent started."""
        self._add_up()
        count, total = self._total
        return count + self._count, total + self._sum

    def begin(self) -> None:
        """The next interval."""
        self._total = self.totals()
        self._count = 0
        self._sum = self._sum_squares = 0.0
        self._min, self._max = math.inf, -math.inf

    def quantile(self, share: float) -> float:
        """Of the newest values; NaN where there never was one."""
        self._add_up()
        if not self._recent:
            return math.nan
        values = sorted(self._recent)
        return values[min(len(values) - 1, int(share * len(values)))]

    def _add_up(self) -> None:
        pending = self._pending
        if not pending:
            return
        self._count += len(pending)
        self._sum += sum(pending)
        self._sum_squares += sum([value * value for value in pending])
        self._min = min(self._min, min(pending))
        self._max = max(self._max, max(pending))
        self._pending = []
        self._recent = pending if len(pending) >= RECENT else [*self._recent, *pending][-RECENT:]
