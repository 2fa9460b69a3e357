"""Metrics: how a part tells what it does, without knowing who is told.

Names are Consul's without their prefix (`dns.domain_query`), durations milliseconds (docs/agent/telemetry). What is
handed out is kept by whoever asked for it: asking is slow, counting is not. How many there may be is bounded; beyond,
what is handed out counts for nobody, and the log says so once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are shown."""


class Counter(Protocol):
    """How often something happened."""

    def add(self, count: float = 1) -> None:
        """So many times more."""
        ...

    def follow(self, total: float) -> None:
        """As much more as a total that only grows has grown since the last call."""
        ...


class Gauge(Protocol):
    """How much there is of something."""

    def set(self, value: float) -> None:
        """So much, as of now."""
        ...


class Sample(Protocol):
    """How long something takes, or how large it is."""

    def add(self, value: float, count: int = 1) -> None:
        """One value, or as many of the same."""
        ...


class Metrics(Protocol):
    """Where a part gets what it counts with. The same name and labels give the same thing again."""

    def counter(self, name: str, labels: Labels = ()) -> Counter:
        """A counter, which is shown from the first time on."""
        ...

    def gauge(self, name: str, labels: Labels = ()) -> Gauge:
        """A gauge."""
        ...

    def sample(self, name: str, labels: Labels = (), *, alias: str = "") -> Sample:
        """A sample; `alias` is an older name without labels by which it is shown, too."""
        ...

    def before_showing(self, source: Callable[[], None]) -> None:
        """Have something called before metrics are shown or sent, at least every ten seconds, to set gauges.

        It takes no longer than a moment; when it raises, that is logged and changes nothing else.
        """
        ...


class _NoCounter:
    def add(self, count: float = 1) -> None:
        """Nothing."""

    def follow(self, total: float) -> None:
        """Nothing."""


class _NoGauge:
    def set(self, value: float) -> None:
        """Nothing."""


class _NoSample:
    def add(self, value: float, count: int = 1) -> None:
        """Nothing."""


class _NoMetrics:
    """For whoever runs a part by itself."""

    def counter(self, name: str, labels: Labels = ()) -> Counter:
        """Counts for nobody."""
        return _NoCounter()

    def gauge(self, name: str, labels: Labels = ()) -> Gauge:
        """Counts for nobody."""
        return _NoGauge()

    def sample(self, name: str, labels: Labels = (), *, alias: str = "") -> Sample:
        """Counts for nobody."""
        return _NoSample()

    def before_showing(self, source: Callable[[], None]) -> None:
        """Nothing is ever shown."""


NO_METRICS: Metrics = _NoMetrics()
"""Takes everything and keeps nothing."""
