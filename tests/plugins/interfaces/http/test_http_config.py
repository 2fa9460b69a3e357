"""`/v1/config`: what is asked of the agent, and how its replies are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.config_entry import (
    ConfigEntry,
    ConfigEntryOp,
    ConfigEntryRequest,
    ConfigEntryResponse,
    IndexedConfigEntries,
)
from consul_kernel.structs.methods import (
    CONFIG_ENTRY_APPLY,
    CONFIG_ENTRY_DELETE,
    CONFIG_ENTRY_GET,
    CONFIG_ENTRY_LIST,
)
from consul_kernel.structs.record import Empty

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

ENTRY = ConfigEntry(
    kind="service-resolver", name="web", settings={"ConnectTimeout": 15_000_000_000}, create_index=4, modify_index=5
)
SHOWN = '{"Kind":"service-resolver","Name":"web","ConnectTimeout":"15s","CreateIndex":4,"ModifyIndex":5}'


@pytest.mark.parametrize(
    ("query", "op", "index"), [("", "upsert", 0), ("?dc=dc2", "upsert", 0), ("?cas=7", "upsert-cas", 7)]
)
async def test_writing(site: Site, query: str, op: str, index: int) -> None:
    site.agent.answer(CONFIG_ENTRY_APPLY, True)
    body = '{"kind": "service-defaults", "name": "web", "protocol": "http"}'
    got = await site.send("PUT", f"/v1/config{query}", body, **{"X-Consul-Token": "secret"})
    assert (got.status, got.text) == (200, "true")
    entry = ConfigEntry(kind="service-defaults", name="web", settings={"Protocol": "http"}, modify_index=index)
    expected = ConfigEntryRequest(token="secret", op=ConfigEntryOp(op), entry=entry)
    assert site.agent.requests(CONFIG_ENTRY_APPLY) == [expected]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "EOF"),
        ("null", "Payload does not contain a kind/Kind key at the top level"),
        ('{"Kind": "odd"}', "invalid config entry kind: odd"),
        ('{"Kind": "mesh", "Odd": 1}', '1 error occurred:\n\t* invalid config key "Odd"\n\n'),
    ],
)
async def test_bad_bodies(site: Site, body: Any, text: str) -> None:
    got = await site.send("PUT", "/v1/config", body)
    assert (got.status, got.text) == (400, f"Bad request: Request decoding failed: {text}")


async def test_a_bad_index(site: Site) -> None:
    got = await site.send("PUT", "/v1/config?cas=x", '{"Kind": "mesh"}')
    assert (got.status, got.text) == (500, 'strconv.ParseUint: parsing "x": invalid syntax')


async def test_reading(site: Site) -> None:
    site.agent.answer(CONFIG_ENTRY_GET, ConfigEntryResponse(index=9, known_leader=True, entry=ENTRY))
    got = await site.get("/v1/config/service-resolver/a/b%20c?index=3&stale")
    assert (got.status, got.text, got.headers["X-Consul-Index"]) == (200, SHOWN, "9")
    assert "X-Consul-Effective-Consistency" not in got.headers
    request = site.agent.requests(CONFIG_ENTRY_GET)[-1]
    assert (request.kind, request.name, request.min_query_index, request.allow_stale) == (
        "service-resolver",
        "a/b c",
        3,
        True,
    )
    site.agent.answer(CONFIG_ENTRY_GET, ConfigEntryResponse(index=9))
    got = await site.get("/v1/config/mesh/x")
    assert (got.status, got.text) == (404, 'Config entry not found for "mesh" / "x"')
    assert got.headers["X-Consul-Index"] == "9"


async def test_listing(site: Site) -> None:
    site.agent.answer(CONFIG_ENTRY_LIST, IndexedConfigEntries(index=9, entries=[ENTRY]))
    got = await site.get("/v1/config/service-resolver?filter=Name==x")
    assert (got.status, got.text, got.headers["X-Consul-Index"]) == (200, f"[{SHOWN}]", "9")
    site.agent.answer(CONFIG_ENTRY_LIST, IndexedConfigEntries(index=9))
    assert (await site.get("/v1/config/")).text == "[]"
    site.agent.answer(CONFIG_ENTRY_LIST, RpcError("invalid config entry kind: odd"))
    got = await site.get("/v1/config/odd")
    assert (got.status, got.text, "X-Consul-Index" in got.headers) == (500, "invalid config entry kind: odd", False)


async def test_deleting(site: Site) -> None:
    site.agent.answer(CONFIG_ENTRY_DELETE, Empty())
    for path, entry in (
        ("service-defaults/a/b", ConfigEntry(kind="service-defaults", name="a/b")),
        ("mesh/any", ConfigEntry(kind="mesh", name="mesh")),
    ):
        got = await site.send("DELETE", f"/v1/config/{path}")
        assert (got.status, got.json) == (200, {})
        assert site.agent.requests(CONFIG_ENTRY_DELETE)[-1].entry == entry
    got = await site.send("DELETE", "/v1/config/service-defaults")
    assert (got.status, got.text) == (404, "Must provide both a kind and name to delete")
    got = await site.send("DELETE", "/v1/config/odd/x")
    assert (got.status, got.text) == (400, "invalid config entry kind: odd")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/v1/config", "OPTIONS,PUT"), ("PUT", "/v1/config/a/b", "OPTIONS,GET,DELETE")],
)
async def test_methods(site: Site, method: str, path: str, allow: str) -> None:
    got = await site.send(method, path)
    assert (got.status, got.headers["Allow"]) == (405, allow)
