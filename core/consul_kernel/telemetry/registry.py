"""Everything that is counted, by name and labels, and what came of it in each interval."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from consul_kernel.contracts.metrics import Labels

from .instruments import Aggregate, CounterInstrument, GaugeInstrument, SampleInstrument

logger = logging.getLogger(__name__)

MAX_INSTRUMENTS = 4096
"""Beyond, nothing new is counted: names and labels are a program's, but some labels a user's."""
KEPT_INTERVALS = 6

Key = tuple[str, Labels]
InstrumentT = TypeVar("InstrumentT", CounterInstrument, GaugeInstrument, SampleInstrument)


@dataclass(frozen=True, slots=True)
class Interval:
    """What happened in ten seconds. `begun_s` is in seconds of UNIX time."""

    begun_s: float
    gauges: dict[Key, float] = field(default_factory=dict)
    counters: dict[Key, Aggregate] = field(default_factory=dict)
    samples: dict[Key, Aggregate] = field(default_factory=dict)


class MetricsRegistry:
    """Implements `contracts.metrics.Metrics`."""

    def __init__(self, now_s: Callable[[], float], *, compat_names: bool = True) -> None:
        """`now_s` is UNIX time; `compat_names`: aliases are shown."""
        self._now_s = now_s
        self._compat_names = compat_names
        self._counters: dict[Key, CounterInstrument] = {}
        self._gauges: dict[Key, GaugeInstrument] = {}
        self._samples: dict[Key, SampleInstrument] = {}
        self._sources: list[Callable[[], None]] = []
        self._begun_s = now_s()
        self._is_full = False
        self.finished: deque[Interval] = deque(maxlen=KEPT_INTERVALS)

    # --- Metrics ---

    def counter(self, name: str, labels: Labels = ()) -> CounterInstrument:
        """A counter."""
        return self._get(self._counters, name, labels, lambda: CounterInstrument(name, labels))

    def gauge(self, name: str, labels: Labels = ()) -> GaugeInstrument:
        """A gauge."""
        return self._get(self._gauges, name, labels, lambda: GaugeInstrument(name, labels))

    def sample(self, name: str, labels: Labels = (), *, alias: str = "") -> SampleInstrument:
        """A sample."""
        return self._get(self._samples, name, labels, lambda: SampleInstrument(name, labels, alias))

    def before_showing(self, source: Callable[[], None]) -> None:
        """Call something before metrics are looked at."""
        self._sources.append(source)

    def _get(
        self, kept: dict[Key, InstrumentT], name: str, labels: Labels, make: Callable[[], InstrumentT]
    ) -> InstrumentT:
        found = kept.get((name, labels))
        if found is None:
            found = make()
            if len(self._counters) + len(self._gauges) + len(self._samples) < MAX_INSTRUMENTS:
                kept[name, labels] = found
            elif not self._is_full:
                self._is_full = True
                logger.warning("%d metrics are kept; %s and what comes after it is not", MAX_INSTRUMENTS, name)
        return found

    # --- looking ---

    def end_interval(self) -> Interval:
        """Close the interval that runs, keep it, and begin the next."""
        interval = self.current()
        for counter in self._counters.values():
            counter.begin()
        for sample in self._samples.values():
            sample.begin()
        self._begun_s = self._now_s()
        self.finished.append(interval)
        return interval

    def current(self) -> Interval:
        """The interval that runs, as far as it has come."""
        self.refresh()
        interval = Interval(self._begun_s)
        for key, gauge in self._gauges.items():
            if gauge.value is not None:
                interval.gauges[key] = gauge.value
        for key, counter in self._counters.items():
            if (seen := counter.look()) is not None:
                interval.counters[key] = seen
        for key, sample in self._samples.items():
            if (seen := sample.look()) is not None:
                interval.samples[key] = seen
                if sample.alias and self._compat_names:
                    interval.samples[sample.alias, ()] = seen
        return interval

    def latest(self) -> Interval:
        """The newest interval that is over; the one that runs while there is none."""
        return self.finished[-1] if self.finished else self.current()

    def refresh(self) -> None:
        """Have the sources tell what they have."""
        for source in self._sources:
            try:
                source()
            except Exception:
                logger.exception("a source of metrics failed")

    def counters(self) -> Iterator[CounterInstrument]:
        """Every counter."""
        yield from self._counters.values()

    def gauges(self) -> Iterator[GaugeInstrument]:
        """Every gauge."""
        yield from self._gauges.values()

    def samples(self) -> Iterator[tuple[Key, SampleInstrument]]:
        """Every sample under each of its names."""
        for key, sample in self._samples.items():
            yield key, sample
            if sample.alias and self._compat_names:
                yield (sample.alias, ()), sample
