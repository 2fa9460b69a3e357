"""What was counted and measured in one interval, in the form of go-metrics (`MetricsSummary`)."""

from __future__ import annotations

import msgspec

from .record import go_name


class GaugeValue(msgspec.Struct, rename=go_name, gc=False):
    """How much there was at the interval's end."""

    name: str
    value: float
    labels: dict[str, str]


class SampledValue(msgspec.Struct, rename=go_name, gc=False):
    """What came together. `rate` is the sum for each second."""

    name: str
    count: int
    rate: float
    sum: float
    min: float
    max: float
    mean: float
    stddev: float
    labels: dict[str, str]


class MetricsSummary(msgspec.Struct, rename=go_name):
    """All of it, each list in the order of names and labels. Nobody uses points."""

    timestamp: str
    """When the interval began: `2026-01-02 03:04:10 +0000 UTC`."""
    gauges: list[GaugeValue]
    points: list[None]
    counters: list[SampledValue]
    samples: list[SampledValue]
