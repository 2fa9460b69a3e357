"""Metrics as lines for people, as Consul prints them on SIGUSR1 (go-metrics: `InmemSignal`)."""

from __future__ import annotations

from collections.abc import Iterator

from consul_kernel.structs.metrics import MetricsSummary, SampledValue


def dump_lines(summary: MetricsSummary) -> Iterator[str]:
    """Gauges, counters and samples, one a line, each with the beginning of its interval."""
    moment = f"[{summary.timestamp}]"
    for gauge in summary.gauges:
        yield f"{moment}[G] '{_named(gauge.name, gauge.labels)}': {gauge.value:.3f}"
    for kind, values in (("C", summary.counters), ("S", summary.samples)):
        for value in values:
            yield f"{moment}[{kind}] '{_named(value.name, value.labels)}': {_figures(value)}"


def _named(name: str, labels: dict[str, str]) -> str:
    return ".".join((name, *labels.values()))


def _figures(value: SampledValue) -> str:
    if not value.stddev:
        return f"Count: {value.count} Sum: {value.sum:.3f}"
    return (
        f"Count: {value.count} Min: {value.min:.3f} Mean: {value.mean:.3f} Max: {value.max:.3f} "
        f"Stddev: {value.stddev:.3f} Sum: {value.sum:.3f}"
    )
