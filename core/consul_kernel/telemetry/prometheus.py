"""Metrics in the text format that Prometheus reads (prometheus.io: exposition formats, version 0.0.4).

Counters and sums are those since the start of the agent, and never vanish: a metric that comes and goes with what it
counts is what breaks alerts. Quantiles are of the newest values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from consul_kernel.contracts.metrics import Labels

from .naming import Naming
from .registry import MetricsRegistry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
QUANTILES = (0.5, 0.9, 0.99)
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_:]")

Line = tuple[str, Labels, float]
"""What is behind the name, labels, and the value."""


def exposition(registry: MetricsRegistry, naming: Naming) -> str:
    """All metrics of this moment."""
    registry.refresh()
    families: dict[str, tuple[str, list[Line]]] = {}
    for gauge in registry.gauges():
        if gauge.value is not None:
            _add(families, naming.gauge(gauge.name), "gauge", [("", gauge.labels, gauge.value)])
    for counter in registry.counters():
        _add(families, naming.name(counter.name), "counter", [("", counter.labels, counter.total)])
    for (name, labels), sample in registry.samples():
        lines: list[Line] = [("", (*labels, ("quantile", str(share))), sample.quantile(share)) for share in QUANTILES]
        count, total = sample.totals()
        lines += [("_sum", labels, total), ("_count", labels, count)]
        _add(families, naming.name(name), "summary", lines)
    return "".join(_family(name, kind, lines) for name, (kind, lines) in sorted(families.items()))


def _add(families: dict[str, tuple[str, list[Line]]], name: str | None, kind: str, lines: list[Line]) -> None:
    if name is None:
        return
    known, all_lines = families.setdefault(_NOT_IN_NAMES.sub("_", name), (kind, []))
    if known == kind:  # two kinds under one name would be no answer that Prometheus takes
        all_lines += lines


def _family(name: str, kind: str, lines: Iterable[Line]) -> str:
    head = f"# HELP {name} {name}\n# TYPE {name} {kind}\n"
    return head + "".join(f"{name}{suffix}{_labels(labels)} {_number(value)}\n" for suffix, labels, value in lines)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{_NOT_IN_NAMES.sub("_", name)}="{_escaped(value)}"' for name, value in labels)
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
