"""Metrics as lines of statsd and dogstatsd, packed into datagrams (or, for statsite, one stream).

Lines are made once an interval, of what came together in it. A sample becomes up to three: its least value, its
greatest, and the mean of the others at the rate that stands for their number, so that count, sum, minimum and maximum
arrive as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from consul_kernel.contracts.metrics import Labels

from .instruments import Aggregate
from .naming import Naming
from .registry import Interval

MAX_DATAGRAM_BYTES = 1400
"""Fits into one Ethernet frame, as go-metrics has it."""
_NOT_IN_NAMES = re.compile(r"[:|@#\s]")


def statsd_lines(interval: Interval, naming: Naming) -> Iterator[str]:
    """Labels become parts of the name, as statsd has none."""
    for name, labels, value, kind, rate in _values(interval, naming):
        full = ".".join((name, *(text for _, text in labels)))
        yield f"{_NOT_IN_NAMES.sub('_', full)}:{value:.6f}|{kind}{rate}\n"


def dogstatsd_lines(interval: Interval, naming: Naming, tags: Sequence[str]) -> Iterator[str]:
    """Labels become tags, behind those of the agent file."""
    for name, labels, value, kind, rate in _values(interval, naming):
        own = (f"{_NOT_IN_NAMES.sub('_', key)}:{_NOT_IN_NAMES.sub('_', text)}" for key, text in labels)
        all_tags = ",".join((*tags, *own))
        yield f"{_NOT_IN_NAMES.sub('_', name)}:{value:.6f}|{kind}{rate}{'|#' if all_tags else ''}{all_tags}\n"


def packed(lines: Iterable[str]) -> Iterator[bytes]:
    """Lines in datagrams of a size that networks take; a line that is longer goes alone."""
    batch = b""
    for line in lines:
        octets = line.encode("utf-8", "replace")
        if batch and len(batch) + len(octets) > MAX_DATAGRAM_BYTES:
            yield batch
            batch = b""
        batch += octets
    if batch:
        yield batch


def _values(interval: Interval, naming: Naming) -> Iterator[tuple[str, Labels, float, str, str]]:
    """Name, labels, value, statsd's letter for the kind, and the rate."""
    for (name, labels), value in sorted(interval.gauges.items()):
        if (shown := naming.gauge(name)) is not None:
            yield shown, labels, value, "g", ""
    for (name, labels), seen in sorted(interval.counters.items()):
        if (shown := naming.name(name)) is not None:
            yield shown, labels, seen.sum, "c", ""
    for (name, labels), seen in sorted(interval.samples.items()):
        if (shown := naming.name(name)) is not None:
            for value, rate in _sampled(seen):
                yield shown, labels, value, "ms", rate


def _sampled(seen: Aggregate) -> Iterator[tuple[float, str]]:
    yield seen.min, ""
    if seen.count > 1:
        yield seen.max, ""
    others = seen.count - 2
    if others > 0:
        mean = (seen.sum - seen.min - seen.max) / others
        yield min(max(mean, seen.min), seen.max), "" if others == 1 else f"|@{1 / others:.9g}"
