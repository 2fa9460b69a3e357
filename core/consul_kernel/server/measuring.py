"""What a server measures of its own work (Consul: docs/agent/telemetry, server health and server workload)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from consul_kernel.contracts.metrics import NO_METRICS, Metrics, Sample
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.structs import methods

if TYPE_CHECKING:
    from .server import RaftServer

Handle = Callable[[Any], Awaitable[Any]]

TIMED = {
    methods.KVS_APPLY.name: "kvs.apply",
    methods.TXN_APPLY.name: "txn.apply",
    methods.TXN_READ.name: "txn.read",
    methods.SESSION_APPLY.name: "session.apply",
    methods.SESSION_RENEW.name: "session.renew",
    methods.CATALOG_REGISTER.name: "catalog.register",
    methods.CATALOG_DEREGISTER.name: "catalog.deregister",
    methods.PREPARED_QUERY_APPLY.name: "prepared-query.apply",
    methods.PREPARED_QUERY_EXECUTE.name: "prepared-query.execute",
    methods.PREPARED_QUERY_EXPLAIN.name: "prepared-query.explain",
}
"""Methods of which every call is timed: writes, and prepared queries, beside whose cost that is nothing."""
MAX_SERVICES = 256
"""Of how many services queries are counted apart; those of all others count as `_other`."""
OTHER = "_other"


@contextmanager
def timed(sample: Sample) -> Iterator[None]:
    """Add how long something took, in milliseconds."""
    begun_s = time.perf_counter()
    try:
        yield
    finally:
        sample.add((time.perf_counter() - begun_s) * 1000)


class ReadCounts:
    """Reads that this server answers. Counting is an addition; the figures are fetched when somebody looks."""

    __slots__ = ("blocking", "by_service", "total")

    def __init__(self) -> None:
        self.total = 0
        self.blocking = 0
        """Blocking queries that wait now."""
        self.by_service: dict[str, dict[str, int]] = {"catalog.service.query": {}, "health.service.query": {}}

    def asked(self, metric: str, service: str) -> None:
        """Somebody asked for a service."""
        counts = self.by_service[metric]
        if service in counts:
            counts[service] += 1
        else:
            name = service if len(counts) < MAX_SERVICES else OTHER
            counts[name] = counts.get(name, 0) + 1


def time_endpoints(table: EndpointTable, metrics: Metrics) -> None:
    """Time the methods of `TIMED` that are attached from now on."""
    if metrics is NO_METRICS:
        return
    for method, name in TIMED.items():
        if table.get(method) is None:
            continue
        sample = metrics.sample(name)

        def wrap(handle: Handle, sample: Sample = sample) -> Handle:
            async def handler(request: Any) -> Any:
                begun_s = time.perf_counter()
                try:
                    return await handle(request)
                finally:
                    sample.add((time.perf_counter() - begun_s) * 1000)

            return handler

        table.wrap(method, wrap)


def watch_server(server: RaftServer, reads: ReadCounts, metrics: Metrics, datacenter: str) -> None:
    """Show what the server's parts count by themselves."""
    labels = (("datacenter", datacenter),)

    def source() -> None:
        _show_raft(server, metrics)
        _show_reads(reads, metrics)
        for name, total in server.port_counts().items():
            metrics.counter(name).follow(total)
        catalog = server.state.catalog
        metrics.gauge("state.nodes", labels).set(len(catalog.nodes()[1]))
        metrics.gauge("state.services", labels).set(len(catalog.services()[1]))
        metrics.gauge("state.service_instances", labels).set(catalog.instance_count())

    metrics.before_showing(source)


def _show_raft(server: RaftServer, metrics: Metrics) -> None:
    status, judgement = server.consensus.status(), server.judgement
    metrics.gauge("raft.last_index").set(status.last_log_index)
    metrics.gauge("raft.applied_index").set(status.applied_index)
    metrics.gauge("raft.commit_index").set(status.commit_index)
    metrics.gauge("session_ttl.active").set(server.session_timer_count)
    metrics.gauge("server.isLeader").set(1 if server.is_leader else 0)
    if judgement is not None:
        metrics.gauge("autopilot.healthy").set(1 if judgement.healthy else 0)
        metrics.gauge("autopilot.failure_tolerance").set(judgement.failure_tolerance)
        for server_id, sighting in judgement.sightings.items():
            if server_id != judgement.leader_id and sighting.stats.last_contact_ns >= 0:
                metrics.sample("raft.leader.lastContact").add(sighting.stats.last_contact_ns / 1e6)


def _show_reads(reads: ReadCounts, metrics: Metrics) -> None:
    metrics.counter("rpc.query").follow(reads.total)
    metrics.gauge("rpc.queries_blocking").set(reads.blocking)
    for name, counts in reads.by_service.items():
        for service, total in counts.items():
            metrics.counter(name, (("service", service),)).follow(total)
