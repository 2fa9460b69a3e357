"""Only those who wait for a service wake for it."""

from __future__ import annotations

import asyncio

from consul_kernel.agent.service_watches import ServiceWatches


async def test_a_change_wakes_those_who_wait_for_that_service() -> None:
    watches = ServiceWatches()
    web = [asyncio.create_task(watches.wait("web", 10)) for _ in range(3)]
    other = asyncio.create_task(watches.wait("db", 10))
    await asyncio.sleep(0)
    watches.changed("web")
    watches.changed("nobody")
    assert await asyncio.gather(*web) == [True] * 3
    assert not other.done()
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert not watches._waiting


async def test_the_time_is_over_and_nothing_is_left() -> None:
    watches = ServiceWatches()
    assert await watches.wait("web", 0.001) is False
    assert not watches._waiting
    first, second = asyncio.create_task(watches.wait("web", 0.001)), asyncio.create_task(watches.wait("web", 10))
    assert await first is False
    watches.changed("web")
    assert await second is True
