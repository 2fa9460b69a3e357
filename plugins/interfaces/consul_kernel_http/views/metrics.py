"""Metrics, with numbers as Go writes them."""

from __future__ import annotations

import msgspec

from consul_kernel.structs.metrics import MetricsSummary, SampledValue
from consul_kernel.structs.record import go_name
from consul_kernel_http.gojson import number


class GaugeView(msgspec.Struct, rename=go_name, gc=False):
    """One gauge."""

    name: str
    value: msgspec.Raw
    labels: dict[str, str]


class SampledView(msgspec.Struct, rename=go_name, gc=False):
    """A counter or a sample."""

    name: str
    count: int
    rate: msgspec.Raw
    sum: msgspec.Raw
    min: msgspec.Raw
    max: msgspec.Raw
    mean: msgspec.Raw
    stddev: msgspec.Raw
    labels: dict[str, str]


class MetricsView(msgspec.Struct, rename=go_name):
    """One interval."""

    timestamp: str
    gauges: list[GaugeView]
    points: list[None]
    counters: list[SampledView]
    samples: list[SampledView]


def metrics_view(summary: MetricsSummary) -> MetricsView:
    """All of it."""
    return MetricsView(
        summary.timestamp,
        [GaugeView(gauge.name, number(float(gauge.value)), gauge.labels) for gauge in summary.gauges],
        [],
        [_sampled(value) for value in summary.counters],
        [_sampled(value) for value in summary.samples],
    )


def _sampled(value: SampledValue) -> SampledView:
    return SampledView(
        value.name,
        value.count,
        number(float(value.rate)),
        number(float(value.sum)),
        number(float(value.min)),
        number(float(value.max)),
        number(float(value.mean)),
        number(float(value.stddev)),
        value.labels,
    )
