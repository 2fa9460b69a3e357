"""Consistent reads of one moment share one question to the quorum, and none of them an answer from before it came."""

from __future__ import annotations

import asyncio

import pytest

from consul_kernel.contracts.errors import NotLeaderError, RpcError
from consul_kernel.structs.kv import KeyRequest
from consul_kernel.structs.methods import KVS_GET
from core.endpoints.harness import Endpoints, settle

CONSISTENT = KeyRequest(key=b"a", require_consistent=True)


async def test_reads_of_one_turn_share_a_check_and_later_ones_have_their_own(endpoints: Endpoints) -> None:
    await endpoints.put(b"a")
    replies = await asyncio.gather(*(endpoints.call(KVS_GET, CONSISTENT) for _ in range(50)))
    assert all(reply.entries for reply in replies)
    assert endpoints.consensus.verified == 1
    await endpoints.call(KVS_GET, CONSISTENT)
    assert endpoints.consensus.verified == 2


async def test_a_check_that_is_under_way_is_not_joined(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    began: list[int] = []

    async def verify(*, timeout_ms: int) -> None:
        began.append(timeout_ms)
        await gates[len(began) - 1].wait()

    monkeypatch.setattr(endpoints.consensus, "verify_leader", verify)
    first = asyncio.ensure_future(endpoints.call(KVS_GET, CONSISTENT))
    await settle()
    assert len(began) == 1
    second = asyncio.ensure_future(endpoints.call(KVS_GET, CONSISTENT))
    await settle()
    assert len(began) == 2
    gates[0].set()
    await first
    assert not second.done()
    gates[1].set()
    await second


async def test_one_that_gives_up_does_not_take_the_others_along(endpoints: Endpoints) -> None:
    given_up = asyncio.ensure_future(endpoints.call(KVS_GET, CONSISTENT))
    patient = asyncio.ensure_future(endpoints.call(KVS_GET, CONSISTENT))
    await asyncio.sleep(0)
    given_up.cancel()
    assert (await patient).index >= 1
    assert given_up.cancelled()


async def test_a_failure_is_everybody_s(endpoints: Endpoints) -> None:
    endpoints.consensus.verify_error = NotLeaderError()
    results = await asyncio.gather(*(endpoints.call(KVS_GET, CONSISTENT) for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["No cluster leader"] * 3
    assert all(isinstance(result, RpcError) for result in results)
    assert len({id(result) for result in results}) == 3


async def test_what_needs_no_waiting_is_read_at_once(endpoints: Endpoints) -> None:
    await endpoints.put(b"a")
    endpoint = endpoints.table.get(KVS_GET.name)
    assert endpoint is not None
    assert endpoint.at_once is not None
    reply = endpoint.at_once(KeyRequest(key=b"a"))
    assert reply == await endpoints.call(KVS_GET, KeyRequest(key=b"a"))
    assert endpoint.at_once(CONSISTENT) is None
    assert endpoint.at_once(KeyRequest(key=b"a", min_query_index=1)) is None
