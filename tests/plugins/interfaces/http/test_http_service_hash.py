"""Waiting for a service of the agent to change, by the hash of what was shown of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from consul_kernel.structs.service import NodeService

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Got, Site

PATH = "/v1/agent/service/web"


def put(site: Site, port: int) -> None:
    site.agent.local.services_by_id["web"] = NodeService(id="web", service="web", port=port)
    site.agent.local.service_changed.set()


@pytest.fixture
async def seen(site: Site) -> str:
    """A service, and its hash."""
    put(site, 1)
    site.agent.local.service_changed.clear()
    return (await site.get(PATH)).headers["X-Consul-Contenthash"]


async def waiting(site: Site, target: str) -> asyncio.Task[Got]:
    """A request that waits."""
    count = len(site.agent.local.waits)
    task = asyncio.create_task(site.get(target))
    async with asyncio.timeout(5):
        while len(site.agent.local.waits) == count:
            await asyncio.sleep(0.001)
    return task


async def test_another_hash_is_answered_at_once(site: Site, seen: str) -> None:
    got = await site.get(f"{PATH}?hash=other&wait=10s")
    assert got.headers["X-Consul-Contenthash"] == seen
    assert not site.agent.local.waits


async def test_the_same_hash_waits_for_a_change(site: Site, seen: str) -> None:
    task = await waiting(site, f"{PATH}?hash={seen}&wait=10s")
    put(site, 2)
    got = await task
    assert got.json["Port"] == 2
    assert got.headers["X-Consul-Contenthash"] != seen


async def test_a_change_that_changes_nothing_is_none(site: Site, seen: str) -> None:
    task = await waiting(site, f"{PATH}?hash={seen}&wait=10s")
    put(site, 1)
    async with asyncio.timeout(5):
        while len(site.agent.local.waits) < 2:
            await asyncio.sleep(0.001)
    assert not task.done()
    put(site, 3)
    assert (await task).json["Port"] == 3


async def test_the_wait_ends(site: Site, seen: str) -> None:
    got = await site.get(f"{PATH}?hash={seen}&wait=30ms")
    assert (got.status, got.headers["X-Consul-Contenthash"]) == (200, seen)
    ((_, waited_s),) = site.agent.local.waits
    assert 0.02 < waited_s <= 0.03 * 17 / 16


async def test_without_a_wait_it_is_the_default(site: Site, seen: str) -> None:
    task = await waiting(site, f"{PATH}?hash={seen}")
    assert 299 < site.agent.local.waits[-1][1] <= 300 * 17 / 16
    put(site, 2)
    await task


async def test_a_service_that_goes_is_unknown(site: Site, seen: str) -> None:
    task = await waiting(site, f"{PATH}?hash={seen}&wait=10s")
    del site.agent.local.services_by_id["web"]
    site.agent.local.service_changed.set()
    got = await task
    assert (got.status, got.text) == (404, "unknown service ID: web")


async def test_who_waits_does_not_keep_the_interface_from_closing(site: Site, seen: str) -> None:
    task = await waiting(site, f"{PATH}?hash={seen}&wait=300s")
    async with asyncio.timeout(2):
        await site.interface.aclose()
        assert (await task).status == 500


async def test_a_wait_that_is_none_is_refused(site: Site, seen: str) -> None:
    got = await site.get(f"{PATH}?hash={seen}&wait=odd")
    assert (got.status, got.text) == (400, "Invalid wait time")
