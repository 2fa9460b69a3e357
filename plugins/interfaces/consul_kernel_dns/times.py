"""How long answers take, by what was asked for."""

from __future__ import annotations

import time

from consul_kernel.contracts.metrics import Metrics

from .naming import Fixed
from .plans import Plan


class Times:
    """Consul's `dns.domain_query` and `dns.ptr_query`. Queries that are answered together are measured together."""

    def __init__(self, metrics: Metrics, node: str) -> None:
        labels = (("node", node),)
        self._domain = metrics.sample("dns.domain_query", labels)
        self._pointer = metrics.sample("dns.ptr_query", labels)

    def answered(self, plan: Plan, begun_s: float, count: int = 1) -> None:
        """So many queries of one kind were answered that came at `begun_s` (of `time.perf_counter`)."""
        taken_ms = (time.perf_counter() - begun_s) * 1000
        (self._pointer if plan.meaning is Fixed.REVERSE else self._domain).add(taken_ms, count)
