"""How the cache is used, under the names of Consul's `cache` metrics (docs/agent/telemetry)."""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel.contracts.metrics import Counter, Metrics
from consul_kernel.structs import methods

_TYPES = {
    methods.CATALOG_LIST_DATACENTERS.name: "catalog-datacenters",
    methods.CATALOG_LIST_SERVICES.name: "catalog-list-services",
    methods.CATALOG_SERVICE_NODES.name: "catalog-services",
    methods.CATALOG_NODE_SERVICES.name: "node-services",
    methods.HEALTH_SERVICE_NODES.name: "health-services",
    methods.PREPARED_QUERY_EXECUTE.name: "prepared-query",
}
"""What Consul calls the kinds of answers that it keeps."""


class CacheMeters:
    """Counts by kind (`hit`, `miss_new`, `miss_block`, `fetch_success`, `fetch_error`), and shows how much is kept."""

    def __init__(self, metrics: Metrics, count: Callable[[], int]) -> None:
        self._metrics = metrics
        self._counters: dict[tuple[str, str], Counter] = {}
        self.expired = metrics.counter("cache.evict_expired")
        """Entries that nobody used."""
        entries = metrics.gauge("cache.entries_count")
        metrics.before_showing(lambda: entries.set(count()))

    def asked(self, method: str, outcome: str) -> None:
        """A read by a method was a hit, or a miss, or fetched in the background."""
        counter = self._counters.get((method, outcome))
        if counter is None:
            kind = _TYPES.get(method, method.lower().replace(".", "-"))
            counter = self._counters[method, outcome] = self._metrics.counter(f"cache.{kind}.{outcome}")
        counter.add()
