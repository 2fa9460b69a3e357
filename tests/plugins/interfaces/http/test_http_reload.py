"""`/v1/agent/reload`, and the interface itself under other settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.errors import AgentError
from consul_kernel.contracts.interface import InterfaceSettings
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel_http import HttpConfig

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site


def settings(http: HttpSettings | None = None, limits: LimitSettings | None = None) -> InterfaceSettings:
    return InterfaceSettings(dns=DnsSettings(), http=http or HttpSettings(), limits=limits or LimitSettings())


async def test_the_agent_is_asked_to_reload(site: Site) -> None:
    got = await site.put("/v1/agent/reload")
    assert (got.status, got.body, site.agent.reloads) == (200, b"", 1)
    site.agent.reload_refusal = AgentError("agent.hcl:3: nodename: unknown key")
    got = await site.put("/v1/agent/reload")
    assert (got.status, got.text) == (500, "agent.hcl:3: nodename: unknown key")
    assert (await site.get("/v1/agent/reload")).status == 405


async def test_headers_blocks_and_writers_change_while_it_serves(site: Site) -> None:
    http = HttpSettings(
        response_headers={"X-Rack": "r1"}, block_endpoints=("/v1/agent/self",), allow_write_http_from=("10.0.0.0/8",)
    )
    assert not site.interface.reload(settings(http), HttpConfig())
    got = await site.get("/v1/agent/self")
    assert (got.status, got.headers["X-Rack"]) == (403, "r1")
    assert (await site.put("/v1/agent/reload")).status == 403
    site.interface.reload(settings(), HttpConfig())
    got = await site.get("/v1/agent/self")
    assert got.status == 200
    assert "X-Rack" not in got.headers


async def test_limits_change_while_it_serves(site: Site) -> None:
    site.interface.reload(settings(limits=LimitSettings(kv_max_value_size=3)), HttpConfig())
    assert (await site.put("/v1/kv/a", b"four")).status == 413
    reader, writer = await site.connect()
    writer.write(b"GET /v1/agent/self HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    site.interface.reload(settings(limits=LimitSettings(http_max_conns_per_client=1)), HttpConfig())
    assert (await site.get("/v1/agent/self")).status == 429
    writer.write(b"GET /v1/agent/self HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"HTTP/1.1 200")  # whoever was there before goes on
    writer.close()


async def test_an_address_stays_until_the_restart(site: Site) -> None:
    before = list(site.interface.addresses())
    assert list(site.interface.reload(settings(), HttpConfig(port=1, body_timeout_ms=5))) == ["port"]
    assert list(site.interface.reload(settings(), HttpConfig(port=1))) == ["port"]
    assert list(site.interface.reload(settings(), HttpConfig())) == []
    assert list(site.interface.addresses()) == before
