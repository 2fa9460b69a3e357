"""`KVS.ListChanges`: what ends a wait for changes, and what does not."""

from __future__ import annotations

from consul_kernel.structs.kv import IndexedKeyChanges, KeyChangesRequest, KVOp
from consul_kernel.structs.methods import KVS_LIST_CHANGES
from core.endpoints.harness import SECOND_NS, Endpoints, settle
from core.state.driver import BytesSource

SHORT_NS = 20_000_000


def asking(prefix: bytes, since: int, *, wait_ns: int = 60 * SECOND_NS) -> KeyChangesRequest:
    return KeyChangesRequest(key=prefix, since=since, min_query_index=since, max_query_time=wait_ns)


def told(reply: IndexedKeyChanges) -> tuple[list[bytes], list[bytes] | None, list[bytes] | None]:
    return [entry.key for entry in reply.entries or ()], reply.deleted, reply.deleted_prefixes


async def test_a_change_under_the_prefix_ends_the_wait_and_others_do_not(endpoints: Endpoints) -> None:
    await endpoints.put(b"p/a")
    since = await endpoints.put(b"p/b")
    async with endpoints.blocked(KVS_LIST_CHANGES, asking(b"p/", since)) as waiting:
        await endpoints.put(b"q")
        await endpoints.delete(b"q")
        await settle()
        assert not waiting.done()
        changed = await endpoints.put(b"p/b", b"new")
        reply = await waiting
    assert (told(reply), reply.index, reply.is_whole) == (([b"p/b"], None, None), changed, False)
    assert reply.known_leader


async def test_deletions_end_the_wait(endpoints: Endpoints) -> None:
    await endpoints.put(b"p/a")
    since = await endpoints.put(b"p/b")
    async with endpoints.blocked(KVS_LIST_CHANGES, asking(b"p/", since)) as waiting:
        since = await endpoints.delete(b"p/b")
        assert told(await waiting) == ([], [b"p/b"], None)
    async with endpoints.blocked(KVS_LIST_CHANGES, asking(b"p/", since)) as waiting:
        await endpoints.delete(b"", KVOp.DELETE_TREE)
        assert told(await waiting) == ([], None, [b"p/"])


async def test_a_wait_in_vain_moves_the_index_on(endpoints: Endpoints) -> None:
    """So that what is forgotten meanwhile is none of the client's concern."""
    since = await endpoints.put(b"p/a")
    async with endpoints.blocked(KVS_LIST_CHANGES, asking(b"p/", since, wait_ns=SHORT_NS)) as waiting:
        elsewhere = await endpoints.put(b"q")
        reply = await waiting
    assert (told(reply), reply.index, reply.is_whole) == (([], None, None), elsewhere, False)


async def test_what_is_there_already_is_not_waited_for(endpoints: Endpoints) -> None:
    since = await endpoints.put(b"p/a")
    await endpoints.put(b"p/b")
    assert told(await endpoints.call(KVS_LIST_CHANGES, asking(b"p/", since))) == ([b"p/b"], None, None)
    whole = await endpoints.call(KVS_LIST_CHANGES, asking(b"p/", since + 1000))
    assert whole.is_whole
    assert told(whole)[0] == [b"p/a", b"p/b"]


async def test_a_state_that_is_replaced_ends_the_wait(endpoints: Endpoints) -> None:
    snapshot = endpoints.state.snapshot()
    empty = b"".join(snapshot.chunks())
    snapshot.close()
    since = await endpoints.put(b"p/a")
    async with endpoints.blocked(KVS_LIST_CHANGES, asking(b"p/", since)) as waiting:
        await endpoints.state.restore(BytesSource(empty))
        reply = await waiting
    assert (reply.is_whole, reply.entries, reply.index) == (True, None, 1)
