"""Blocking queries: what ends them, and that they hold nobody up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consul_kernel.structs.kv import IndexedDirEntries, KeyRequest
from consul_kernel.structs.methods import KVS_APPLY, KVS_GET, STATUS_LEADER

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site


class Gate:
    """Answers a read once it is opened, and tells what happened to it."""

    def __init__(self, site: Site) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.cancelled = asyncio.Event()
        site.agent.answer(KVS_GET, self._answer)

    async def _answer(self, _request: KeyRequest) -> IndexedDirEntries:
        self.reached.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return IndexedDirEntries(index=8, known_leader=True)


async def wait_for(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 5)


async def test_answer_comes_when_the_call_returns(site: Site) -> None:
    gate = Gate(site)
    asking = asyncio.ensure_future(site.get("/v1/kv/k?index=7"))
    await wait_for(gate.reached)
    gate.opened.set()
    assert (await asking).headers["X-Consul-Index"] == "8"


async def test_others_are_served_meanwhile(site: Site) -> None:
    gate = Gate(site)
    site.agent.answer(STATUS_LEADER, "l")
    asking = [asyncio.ensure_future(site.get("/v1/kv/k?index=7")) for _ in range(50)]
    await wait_for(gate.reached)
    assert (await site.get("/v1/status/leader")).status == 200
    gate.opened.set()
    assert {got.status for got in await asyncio.gather(*asking)} == {404}


async def test_client_that_goes_away_cancels_the_call(site: Site) -> None:
    gate = Gate(site)
    _, writer = await site.connect()
    writer.write(b"GET /v1/kv/k?index=7 HTTP/1.1\r\nHost: t\r\n\r\n")
    await wait_for(gate.reached)
    writer.close()
    await wait_for(gate.cancelled)


async def test_closing_ends_blocking_queries_at_once_with_an_answer(site: Site) -> None:
    gate = Gate(site)
    asking = asyncio.ensure_future(site.get("/v1/kv/k?index=7&wait=10m"))
    await wait_for(gate.reached)
    begun = asyncio.get_running_loop().time()
    await site.interface.aclose()
    assert asyncio.get_running_loop().time() - begun < 0.5
    got = await asking
    assert (got.status, got.text) == (500, "agent is shutting down")
    assert got.headers["Connection"] == "close"


async def test_closing_lets_a_write_in_flight_finish(site: Site) -> None:
    reached, opened = asyncio.Event(), asyncio.Event()

    async def apply(_request: object) -> bool:
        reached.set()
        await opened.wait()
        return True

    site.agent.answer(KVS_APPLY, apply)
    asking = asyncio.ensure_future(site.put("/v1/kv/k", b"v"))
    await wait_for(reached)
    closing = asyncio.ensure_future(site.interface.aclose())
    await asyncio.sleep(0)
    opened.set()
    assert (await asking).json is True
    await closing
