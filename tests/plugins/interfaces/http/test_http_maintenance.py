"""`/v1/agent/maintenance` and `/v1/agent/service/maintenance`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consul_kernel.contracts.errors import NotFoundError

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

PATHS = ("/v1/agent/maintenance", "/v1/agent/service/maintenance/web")


@pytest.mark.parametrize(("path", "key"), [(PATHS[0], ""), (PATHS[1], "web")])
async def test_on_with_a_reason_and_off(site: Site, path: str, key: str) -> None:
    got = await site.put(f"{path}?enable=true&reason=new+disk")
    assert (got.status, got.body) == (200, b"")
    assert site.agent.local.maintenance == {key: "new disk"}
    assert (await site.put(f"{path}?enable=f")).status == 200
    assert not site.agent.local.maintenance


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "Missing value for enable"),
        ("?reason=x", "Missing value for enable"),
        ("?enable=", 'Invalid value for enable: ""'),
        ("?enable=yes", 'Invalid value for enable: "yes"'),
    ],
)
async def test_enable_must_be_said(site: Site, path: str, query: str, text: str) -> None:
    got = await site.put(path + query)
    assert (got.status, got.text) == (400, text)
    assert not site.agent.local.maintenance


async def test_a_service_needs_an_id_that_is_here(site: Site) -> None:
    got = await site.put("/v1/agent/service/maintenance/?enable=true")
    assert (got.status, got.text) == (400, "Missing service ID")
    site.agent.local.refusal = NotFoundError('No service registered with ID "x"')
    got = await site.put("/v1/agent/service/maintenance/x?enable=true")
    assert (got.status, got.text) == (404, 'No service registered with ID "x"')


@pytest.mark.parametrize("path", PATHS)
async def test_only_put(site: Site, path: str) -> None:
    got = await site.get(path)
    assert (got.status, got.headers["Allow"]) == (405, "OPTIONS,PUT")
