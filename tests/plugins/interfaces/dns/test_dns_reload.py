"""Answers follow `dns_config` when it changes, those that were prepared included."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.interface import InterfaceSettings
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel_dns import DnsInterfaceConfig
from plugins.interfaces.dns.fake_catalog import FakeCatalog, ask, make_interface


@pytest.mark.parametrize("tcp", [False, True])
async def test_the_next_answer_goes_by_the_new_settings(*, tcp: bool) -> None:
    catalog = FakeCatalog()
    catalog.serve("web", "10.0.0.1", "10.0.0.2")
    interface = make_interface(catalog)
    await interface.start()
    for _ in range(3):
        answer = await ask(interface, "web.service.consul", tcp=tcp)
        assert (answer.answer[0].ttl, len(answer.answer[0])) == (0, 2)
    before = list(interface.addresses())
    dns = DnsSettings(service_ttl_s={"*": 7}, a_record_limit=1, domain="example.")
    settings = InterfaceSettings(dns=dns, http=HttpSettings(), limits=LimitSettings())
    assert list(interface.reload(settings, DnsInterfaceConfig(port=1))) == ["port"]
    answer = await ask(interface, "web.service.example", tcp=tcp)
    assert (answer.answer[0].ttl, len(answer.answer[0])) == (7, 1)
    assert list(interface.addresses()) == before
    await interface.aclose()
