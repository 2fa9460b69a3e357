"""`?cached`: the second read is answered from memory, and memory follows the catalog."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.methods import CATALOG_LIST_SERVICES, CATALOG_SERVICE_NODES, HEALTH_SERVICE_NODES
from consul_kernel.structs.query import DCSpecificRequest, QueryOptions
from consul_kernel.structs.service import IndexedServices
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel_http.cache import MAX_ENTRIES, ReadCache

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site


class Catalog:
    """Service names whose index grows with every change, with real blocking."""

    def __init__(self, agent: FakeAgent) -> None:
        self.index = 5
        self.changed = asyncio.Event()
        self.failure: Exception | None = None
        self.waiting = asyncio.Event()
        agent.answer(CATALOG_LIST_SERVICES, self._answer)

    def change(self, failure: Exception | None = None) -> None:
        self.index += 1
        self.failure = failure
        self.waiting.clear()
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def _answer(self, request: QueryOptions) -> IndexedServices:
        while request.min_query_index >= self.index:
            self.waiting.set()
            await self.changed.wait()
        if self.failure is not None:
            raise self.failure
        return IndexedServices(index=self.index, known_leader=True, services={f"at-{self.index}": []})


async def until_tasks(count: int) -> None:
    """Wait until that many tasks run; those that were cancelled take a turn of the loop to end."""
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) != count:
            await asyncio.sleep(0)


async def wait_for(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 5)


async def test_miss_then_hit_then_what_is_new(site: Site) -> None:
    catalog = Catalog(site.agent)
    first = await site.get("/v1/catalog/services?cached")
    assert (first.headers["X-Cache"], first.text) == ("MISS", '{"at-5":[]}')
    await wait_for(catalog.waiting)
    asked = len(site.agent.calls)
    second = await site.get("/v1/catalog/services?cached", Cache_Control="must-revalidate")
    assert (second.headers["X-Cache"], second.headers["Age"], second.text) == ("HIT", "0", '{"at-5":[]}')
    assert len(site.agent.calls) == asked
    catalog.change()
    await wait_for(catalog.waiting)
    third = await site.get("/v1/catalog/services?cached")
    assert (third.headers["X-Cache"], third.text) == ("HIT", '{"at-6":[]}')


async def test_uncached_reads_say_nothing_of_it(site: Site) -> None:
    Catalog(site.agent)
    assert "X-Cache" not in (await site.get("/v1/catalog/services")).headers


async def test_reads_of_another_kind_are_kept_apart(site: Site) -> None:
    Catalog(site.agent)
    await site.get("/v1/catalog/services?cached")
    for query in ("cached&dc=dc2", "cached&stale", "cached&token=t", "cached&node-meta=k:v"):
        assert (await site.get(f"/v1/catalog/services?{query}")).headers["X-Cache"] == "MISS"


async def test_blocking_reads_wait_for_the_cached_answer_to_change(site: Site) -> None:
    catalog = Catalog(site.agent)
    await site.get("/v1/catalog/services?cached")
    await wait_for(catalog.waiting)
    asking = asyncio.ensure_future(site.get("/v1/catalog/services?cached&index=5&wait=10s"))
    await asyncio.sleep(0.05)
    assert not asking.done()
    catalog.change()
    assert (await asyncio.wait_for(asking, 5)).text == '{"at-6":[]}'
    got = await site.get("/v1/catalog/services?cached&index=6&wait=20ms")
    assert got.headers["X-Consul-Index"] == "6"


async def test_answer_outlives_a_lost_connection(site: Site) -> None:
    catalog = Catalog(site.agent)
    await site.get("/v1/catalog/services?cached")
    await wait_for(catalog.waiting)
    catalog.change(RpcError("No cluster leader"))
    await asyncio.sleep(0)
    got = await site.get("/v1/catalog/services?cached")
    assert (got.status, got.headers["X-Cache"]) == (200, "HIT")
    catalog.failure = None
    await wait_for(catalog.waiting)
    assert (await site.get("/v1/catalog/services?cached")).text == '{"at-6":[]}'


async def test_failed_first_read_is_not_kept(site: Site) -> None:
    for method in (CATALOG_SERVICE_NODES, HEALTH_SERVICE_NODES):
        site.agent.answer_all(RpcError("No cluster leader"))
        path = "/v1/catalog/service/s" if method is CATALOG_SERVICE_NODES else "/v1/health/service/s"
        assert (await site.get(f"{path}?cached")).status == 500
        assert "X-Cache" not in (await site.get(f"{path}?cached")).headers


async def test_agent_that_does_not_block_is_not_asked_without_end(site: Site) -> None:
    site.agent.answer(CATALOG_LIST_SERVICES, IndexedServices(index=5, known_leader=True, services={}))
    await site.get("/v1/catalog/services?cached")
    for _ in range(5):
        assert (await site.get("/v1/catalog/services?cached")).headers["X-Cache"] == "HIT"
    assert len(site.agent.calls) <= 3


async def test_number_of_entries_is_bounded() -> None:
    agent = FakeAgent()
    Catalog(agent)
    cache = ReadCache(agent)
    before = len(asyncio.all_tasks())
    for number in range(MAX_ENTRIES + 20):
        await cache.read(CATALOG_LIST_SERVICES, DCSpecificRequest(datacenter=f"dc{number}"))
    await until_tasks(before + MAX_ENTRIES)
    _, age_s = await cache.read(CATALOG_LIST_SERVICES, DCSpecificRequest(datacenter="dc0"))
    assert age_s is None  # it was dropped
    cache.close()
    await until_tasks(before)
