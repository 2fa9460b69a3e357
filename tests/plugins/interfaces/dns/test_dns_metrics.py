"""Every answered query is measured, however many were answered together."""

from __future__ import annotations

import asyncio

import pytest

from consul_kernel.contracts.interface import InterfaceContext
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel.telemetry.registry import MetricsRegistry
from consul_kernel_dns import DnsInterface, DnsInterfaceConfig
from plugins.interfaces.dns.fake_catalog import FakeCatalog, ask


@pytest.mark.parametrize("tcp", [False, True])
async def test_queries_are_counted_by_kind(*, tcp: bool) -> None:
    catalog, registry = FakeCatalog(), MetricsRegistry(lambda: 0.0)
    catalog.serve("web", "10.0.0.1")
    context = InterfaceContext(
        agent=catalog.agent,
        bind=[Address("127.0.0.1", 0)],
        dns=DnsSettings(),
        http=HttpSettings(),
        limits=LimitSettings(),
        metrics=registry,
    )
    interface = DnsInterface(context, DnsInterfaceConfig())
    await interface.start()
    await asyncio.gather(*(ask(interface, "web.service.consul", tcp=tcp) for _ in range(20)))
    await ask(interface, "nope.service.consul", tcp=tcp)
    await ask(interface, "1.0.0.10.in-addr.arpa", "PTR", tcp=tcp)
    await interface.aclose()
    samples = registry.current().samples
    labels = (("node", catalog.agent.node_name),)
    assert samples["dns.domain_query", labels].count == 21
    assert samples["dns.ptr_query", labels].count == 1
