"""An interval in the form of `/v1/agent/metrics`."""

from __future__ import annotations

from datetime import UTC, datetime

from consul_kernel.contracts.metrics import Labels
from consul_kernel.structs.metrics import GaugeValue, MetricsSummary, SampledValue

from .instruments import Aggregate
from .naming import Naming
from .registry import Interval

INTERVAL_S = 10.0


def summary(interval: Interval, naming: Naming) -> MetricsSummary:
    """What of an interval is shown, in the order of names and labels."""
    begun = datetime.fromtimestamp(round(interval.begun_s), tz=UTC)
    return MetricsSummary(
        begun.strftime("%Y-%m-%d %H:%M:%S +0000 UTC"),
        [
            GaugeValue(shown, value, dict(labels))
            for (name, labels), value in sorted(interval.gauges.items())
            if (shown := naming.gauge(name)) is not None
        ],
        [],
        _sampled(interval.counters, naming),
        _sampled(interval.samples, naming),
    )


def _sampled(found: dict[tuple[str, Labels], Aggregate], naming: Naming) -> list[SampledValue]:
    return [
        SampledValue(
            shown,
            seen.count,
            seen.sum / INTERVAL_S,
            seen.sum,
            seen.min,
            seen.max,
            seen.mean,
            seen.stddev,
            dict(labels),
        )
        for (name, labels), seen in sorted(found.items())
        if (shown := naming.name(name)) is not None
    ]
