"""`/v1/kv/:prefix?recurse&since=:index`: what is asked of the agent, and how the answer is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consul_kernel.structs.kv import DirEntry, IndexedKeyChanges, KeyChangesRequest
from consul_kernel.structs.methods import KVS_LIST_CHANGES

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

MINUTE_NS = 60_000_000_000


async def test_changes_are_shown_with_what_was_deleted(site: Site) -> None:
    entry = DirEntry(key=b"a/b", value=b"hello", create_index=5, modify_index=7)
    site.agent.answer(
        KVS_LIST_CHANGES,
        IndexedKeyChanges(index=9, known_leader=True, entries=[entry], deleted=[b"a/x"], deleted_prefixes=[b"a/y/"]),
    )
    got = await site.get("/v1/kv/a/?recurse&since=6&dc=dc2")
    assert got.text == (
        '{"Index":9,"Whole":false,"Entries":[{"LockIndex":0,"Key":"a/b","Flags":0,"Value":"aGVsbG8=",'
        '"CreateIndex":5,"ModifyIndex":7}],"Deleted":["a/x"],"DeletedPrefixes":["a/y/"]}'
    )
    assert (got.status, got.headers["X-Consul-Index"]) == (200, "9")
    (request,) = site.agent.requests(KVS_LIST_CHANGES)
    assert (request.key, request.since, request.min_query_index, request.datacenter) == (b"a/", 6, 0, "dc2")


async def test_nothing_is_shown_as_nothing(site: Site) -> None:
    """Unlike the read of everything, which answers 404: there is an index to go on with."""
    site.agent.answer(KVS_LIST_CHANGES, IndexedKeyChanges(index=9, is_whole=True))
    got = await site.get("/v1/kv/?recurse&since=0")
    assert (got.status, got.text) == (200, '{"Index":9,"Whole":true,"Entries":[],"Deleted":[],"DeletedPrefixes":[]}')


@pytest.mark.parametrize(
    ("parameters", "waits_beyond", "wait_ns"),
    [("wait=1m", 6, MINUTE_NS), ("index=900&wait=1m", 6, MINUTE_NS), ("index=1", 6, 5 * MINUTE_NS), ("wait=0s", 0, 0)],
)
async def test_waiting_is_for_what_comes_after_since(
    site: Site, parameters: str, waits_beyond: int, wait_ns: int
) -> None:
    site.agent.answer(KVS_LIST_CHANGES, IndexedKeyChanges(index=9))
    assert (await site.get(f"/v1/kv/a/?recurse&since=6&{parameters}")).status == 200
    (request,) = site.agent.requests(KVS_LIST_CHANGES)
    assert (request.min_query_index, request.max_query_time) == (waits_beyond, wait_ns)


async def test_whoever_has_nothing_does_not_wait(site: Site) -> None:
    site.agent.answer(KVS_LIST_CHANGES, IndexedKeyChanges(index=9, is_whole=True))
    assert (await site.get("/v1/kv/a/?recurse&since=0&index=5&wait=1m")).status == 200
    assert site.agent.requests(KVS_LIST_CHANGES)[0].min_query_index == 0


@pytest.mark.parametrize(
    "changes",
    [IndexedKeyChanges(index=9, deleted=[b"a/\xff"]), IndexedKeyChanges(index=9, deleted_prefixes=[b"a/\xc3"])],
)
async def test_deleted_names_that_are_no_text_make_the_answer_whole(site: Site, changes: IndexedKeyChanges) -> None:
    def answer(request: KeyChangesRequest) -> IndexedKeyChanges:
        return changes if request.since else IndexedKeyChanges(index=9, is_whole=True)

    site.agent.answer(KVS_LIST_CHANGES, answer)
    assert (await site.get("/v1/kv/a/?recurse&since=6")).json["Whole"] is True


@pytest.mark.parametrize("text", ["", "-1", "x", "1.5", str(1 << 64)])
async def test_what_is_no_index_is_refused(site: Site, text: str) -> None:
    got = await site.get(f"/v1/kv/a/?recurse&since={text}")
    assert (got.status, got.text) == (400, "Invalid since")
