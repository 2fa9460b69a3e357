"""What a server counts of its reads is bounded; writes are timed whether they succeed or not."""

from __future__ import annotations

from typing import Any

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.contracts.metrics import NO_METRICS
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.server.measuring import MAX_SERVICES, OTHER, ReadCounts, time_endpoints
from consul_kernel.structs.methods import KVS_APPLY
from consul_kernel.telemetry.registry import MetricsRegistry


def test_services_beyond_the_bound_are_counted_together() -> None:
    counts = ReadCounts()
    for number in range(MAX_SERVICES + 10):
        counts.asked("health.service.query", f"s{number}")
        counts.asked("health.service.query", "s0")
    found = counts.by_service["health.service.query"]
    assert len(found) == MAX_SERVICES + 1
    assert (found["s0"], found[OTHER]) == (MAX_SERVICES + 11, 10)


async def test_a_write_is_timed_also_when_it_is_refused() -> None:
    registry, table = MetricsRegistry(lambda: 0.0), EndpointTable()
    outcome: list[Any] = [True, RpcError("no")]

    async def apply(_request: Any) -> bool:
        said = outcome.pop(0)
        if isinstance(said, Exception):
            raise said
        return bool(said)

    table.attach(KVS_APPLY, apply)
    time_endpoints(table, registry)
    endpoint = table.get(KVS_APPLY.name)
    assert endpoint is not None
    assert await endpoint.handle(None) is True
    with pytest.raises(RpcError):
        await endpoint.handle(None)
    assert registry.current().samples["kvs.apply", ()].count == 2


def test_without_metrics_nothing_stands_in_the_way() -> None:
    table = EndpointTable()
    time_endpoints(table, NO_METRICS)
    assert table.get(KVS_APPLY.name) is None
