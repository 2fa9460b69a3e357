"""`/v1/agent/metrics`, and what the interface itself measures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from consul_kernel.contracts.interface import InterfaceContext
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.metrics import GaugeValue, MetricsSummary, SampledValue
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel.telemetry.registry import MetricsRegistry
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel_http import HttpConfig, HttpInterface
from plugins.interfaces.http.conftest import Site as RunningSite

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

SUMMARY = MetricsSummary(
    "2026-01-02 03:04:10 +0000 UTC",
    [GaugeValue("consul.runtime.alloc_bytes", 66764800.0, {})],
    [],
    [SampledValue("consul.raft.apply", 4, 0.4, 4, 1, 1, 1, 0, {})],
    [SampledValue("consul.api.http", 1, 0.05, 0.5, 0.5, 0.5, 0.5, 0, {"method": "GET", "path": "v1.kv._"})],
)
EXPECTED = (
    '{"Timestamp":"2026-01-02 03:04:10 +0000 UTC",'
    '"Gauges":[{"Name":"consul.runtime.alloc_bytes","Value":66764800,"Labels":{}}],"Points":[],'
    '"Counters":[{"Name":"consul.raft.apply","Count":4,"Rate":0.4,"Sum":4,"Min":1,"Max":1,"Mean":1,"Stddev":0,'
    '"Labels":{}}],"Samples":[{"Name":"consul.api.http","Count":1,"Rate":0.05,"Sum":0.5,"Min":0.5,"Max":0.5,'
    '"Mean":0.5,"Stddev":0,"Labels":{"method":"GET","path":"v1.kv._"}}]}'
)


async def test_the_document_is_gos_to_the_octet(site: Site) -> None:
    site.agent.metrics_summary = SUMMARY
    got = await site.get("/v1/agent/metrics")
    assert (got.status, got.text) == (200, EXPECTED)
    assert json.loads(got.text)


@pytest.mark.parametrize(
    ("target", "accept"),
    [
        ("/v1/agent/metrics?format=prometheus", "*/*"),
        ("/v1/agent/metrics", "application/openmetrics-text; version=0.0.1,*/*;q=0.1"),
        ("/v1/agent/metrics", "text/plain;version=0.0.4;q=0.5"),
    ],
)
async def test_prometheus_is_answered_as_it_asks(site: Site, target: str, accept: str) -> None:
    got = await site.get(target, Accept=accept)
    assert (got.status, got.text) == (415, "Prometheus is not enabled since its retention time is not positive")
    site.agent.prometheus_text = "consul_a 1\n"
    got = await site.get(target, Accept=accept)
    assert (got.status, got.text) == (200, "consul_a 1\n")
    assert got.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("accept", ["text/plain", "application/json", ""])
async def test_others_get_json(site: Site, accept: str) -> None:
    assert (await site.get("/v1/agent/metrics?format=json", Accept=accept)).status == 200


async def test_every_route_and_method_is_timed_under_consuls_names() -> None:
    registry = MetricsRegistry(lambda: 0.0)
    context = InterfaceContext(
        agent=FakeAgent(),
        bind=[Address("127.0.0.1", 0)],
        dns=DnsSettings(),
        http=HttpSettings(),
        limits=LimitSettings(),
        metrics=registry,
    )
    interface = HttpInterface(context, HttpConfig())
    await interface.start()
    site = RunningSite(context.agent, interface)  # type: ignore[arg-type]
    for _ in range(2):
        await site.get("/v1/kv/some/key")  # an error, which takes its time as well
    await site.get("/v1/agent/self")
    await site.put("/v1/agent/self")  # no such method: nothing was carried out
    await interface.aclose()
    samples = registry.current().samples
    assert {key: sample.count for key, sample in samples.items()} == {
        ("api.http", (("method", "GET"), ("path", "v1.kv._"))): 2,
        ("http.GET.v1.kv._", ()): 2,
        ("api.http", (("method", "GET"), ("path", "v1.agent.self"))): 1,
        ("http.GET.v1.agent.self", ()): 1,
    }
