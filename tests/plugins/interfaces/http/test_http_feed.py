"""`Accept: text/event-stream`: what a stream tells, how it is resumed, and what ends it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from consul_kernel.contracts.errors import RequestError, RpcError
from consul_kernel.structs.config_entry import ConfigEntry, ConfigEntryResponse
from consul_kernel.structs.coordinate import Coordinate, IndexedCoordinates, NodeCoordinate
from consul_kernel.structs.kv import DirEntry, IndexedDirEntries, IndexedKeyList
from consul_kernel.structs.methods import (
    CATALOG_LIST_SERVICES,
    CONFIG_ENTRY_GET,
    COORDINATE_NODE,
    KVS_GET,
    KVS_LIST,
    KVS_LIST_KEYS,
)
from consul_kernel.structs.service import IndexedServices
from consul_kernel_http import HttpConfig, answer, feed
from consul_kernel_http.answer import Answer
from consul_kernel_http.event_log import EventView, event_log_of
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.feed_items import BY_ITSELF
from consul_kernel_http.resolving import Resolver
from consul_kernel_http.routing import Route, Router
from plugins.interfaces.http.feeds import Event, Source, listening

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Serve, Site


def listed(*keys: str, value: bytes = b"v") -> Any:
    entries = [DirEntry(key=key.encode(), value=value) for key in keys]
    return lambda index: IndexedDirEntries(index=index, entries=entries or None)


def keys_of(event: Event) -> list[str]:
    items = event.data["Changed"] if event.name == "changes" else event.data
    return [item["Key"] for item in items]


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_first_the_whole_and_then_what_changes(site: Site) -> None:
    source = Source(site, KVS_LIST, listed("a", "b"))
    async with listening(site.address, "/v1/kv/?recurse&pretty&wait=1s") as events:
        assert events.response.headers["Content-Type"] == "text/event-stream"
        assert events.response.headers["Cache-Control"] == "no-cache"
        whole = await events.next()
        assert (whole.name, whole.id, keys_of(whole)) == ("whole", 5, ["a", "b"])
        source.change(listed("b", "c"))
        changes = await events.next()
        assert (changes.name, changes.id, keys_of(changes)) == ("changes", 6, ["c"])
        assert changes.data["Removed"] == [{"Key": "a"}]
        source.change(listed())
        assert (await events.next()).data == {"Changed": [], "Removed": [{"Key": "b"}, {"Key": "c"}]}
    assert source.asked[:3] == [0, 5, 6]


async def test_an_answer_that_is_the_same_only_moves_the_index(site: Site) -> None:
    source = Source(site, KVS_LIST, listed("a"))
    async with listening(site.address, "/v1/kv/?recurse") as events:
        await events.next()
        source.change()
        assert await events.next() == Event("", 6, None)
        source.change(listed("a", value=b"new"))
        assert keys_of(await events.next()) == ["a"]


async def test_an_absent_key_is_an_empty_list(site: Site) -> None:
    source = Source(site, KVS_GET, listed())
    async with listening(site.address, "/v1/kv/a") as events:
        assert await events.next() == Event("whole", 5, [])
        source.change(listed("a"))
        assert keys_of(await events.next()) == ["a"]


async def test_names_and_maps(site: Site) -> None:
    names = Source(site, KVS_LIST_KEYS, lambda index: IndexedKeyList(index=index, keys=[b"a"]))
    async with listening(site.address, "/v1/kv/?keys") as events:
        assert (await events.next()).data == ["a"]
        names.change(lambda index: IndexedKeyList(index=index, keys=[b"b"]))
        assert (await events.next()).data == {"Changed": ["b"], "Removed": ["a"]}
    services = Source(site, CATALOG_LIST_SERVICES, lambda index: IndexedServices(index=index, services={"web": ["x"]}))
    async with listening(site.address, "/v1/catalog/services") as events:
        assert (await events.next()).data == {"web": ["x"]}
        services.change(lambda index: IndexedServices(index=index, services={"db": []}))
        assert (await events.next()).data == {"Changed": {"db": []}, "Removed": ["web"]}


async def test_user_events(site: Site) -> None:
    log = event_log_of(site.agent)

    def fired(number: int) -> EventView:
        return EventView(f"11111111-2222-3333-4444-00000000000{number}", "deploy", None, "", "", "", 1, number)

    log.add(fired(1))
    async with listening(site.address, "/v1/event/list?name=deploy") as events:
        assert [item["LTime"] for item in (await events.next()).data] == [1]
        log.add(fired(2))
        assert [item["LTime"] for item in (await events.next()).data["Changed"]] == [2]


@pytest.mark.parametrize("headers", [{"Last_Event_ID": "5"}, {}])
async def test_whoever_comes_back_is_told_only_what_came_after(site: Site, headers: dict[str, str]) -> None:
    source = Source(site, KVS_LIST, listed("a"))
    async with listening(site.address, "/v1/kv/?recurse&index=5", **headers) as events:
        assert (await events.next()).comment == ""
        source.change(listed("a", "b"))
        assert keys_of(await events.next()) == ["b"]


async def test_whoever_comes_back_too_late_is_told_the_whole(site: Site) -> None:
    Source(site, KVS_LIST, listed("a"))
    async with listening(site.address, "/v1/kv/?recurse&index=5", Last_Event_ID="4") as events:
        assert (await events.next()).name == "whole"


async def test_an_index_that_goes_back_is_followed(site: Site) -> None:
    source = Source(site, KVS_LIST, listed("a"))
    async with listening(site.address, "/v1/kv/?recurse") as events:
        await events.next()
        source.change(listed("b"), index=2)
        event = await events.next()
        assert (event.id, keys_of(event)) == (2, ["b"])
        await until(lambda: source.asked[-1] == 2)


async def test_ordinary_reads_are_as_they_were(site: Site) -> None:
    Source(site, KVS_LIST, listed("a"))
    got = await site.get("/v1/kv/?recurse", Accept="application/json")
    assert [item["Key"] for item in got.json] == ["a"]


async def test_refusals_are_those_of_the_read(site: Site) -> None:
    site.agent.answer(KVS_LIST, RpcError("No cluster leader"))
    accepts = {"Accept": "text/event-stream"}
    got = await site.get("/v1/kv/?recurse", **accepts)
    assert (got.status, got.text) == (500, "No cluster leader")
    for target, text in [
        ("/v1/kv/?recurse&stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
        ("/v1/kv/a?raw", "?raw has no event stream"),
        ("/v1/kv/a?recurse&since=4", "?since has no event stream"),
        ("/v1/kv/a?index=x", "Invalid index"),
    ]:
        got = await site.get(target, **accepts)
        assert (got.status, got.text) == (400, text)


async def test_a_failure_is_a_comment_and_the_stream_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_FIRST_RETRY_S", 0.01)
    source = Source(site, KVS_LIST, listed("a"))

    def fail(_index: int) -> Any:
        raise RpcError("No cluster\nleader")

    async with listening(site.address, "/v1/kv/?recurse") as events:
        await events.next()
        source.change(fail)
        assert (await events.next()).comment == "No cluster leader"
        source.change(listed("b"))
        event = await events.next()
        while event.comment:
            event = await events.next()
        assert keys_of(event) == ["b"]


async def test_a_refusal_ends_the_stream(site: Site) -> None:
    source = Source(site, KVS_LIST, listed("a"))

    def refuse(_index: int) -> Any:
        raise RequestError("no more")

    async with listening(site.address, "/v1/kv/?recurse") as events:
        await events.next()
        source.change(refuse)
        assert await events.rest() == b": no more\n\n"


async def test_what_is_no_longer_there_to_be_read_ends_the_stream(site: Site) -> None:
    """Consul answers 404 without an index for a node that has no coordinates."""
    place = NodeCoordinate(node="n1", coord=Coordinate())
    source = Source(site, COORDINATE_NODE, lambda index: IndexedCoordinates(index=index, coordinates=[place]))
    async with listening(site.address, "/v1/coordinate/node/n1") as events:
        assert [item["Node"] for item in (await events.next()).data] == ["n1"]
        source.change(lambda index: IndexedCoordinates(index=index))
        assert await events.rest() == b": \n\n"
    async with listening(site.address, "/v1/coordinate/node/n1") as events:
        assert events.response.status == 404


async def test_a_configuration_entry_comes_and_goes(site: Site) -> None:
    entry = ConfigEntry(kind="service-defaults", name="web")
    source = Source(site, CONFIG_ENTRY_GET, lambda index: ConfigEntryResponse(index=index))
    async with listening(site.address, "/v1/config/service-defaults/web") as events:
        assert await events.next() == Event("whole", 5, None)
        source.change(lambda index: ConfigEntryResponse(index=index, entry=entry))
        event = await events.next()
        assert (event.name, event.data["Name"]) == ("whole", "web")


async def test_an_answer_without_an_index_is_no_stream(site: Site) -> None:
    async def endpoint(exchange: Exchange) -> Answer:
        return exchange.json([])

    site.interface._dispatcher._resolver = Resolver(
        Router((Route("/odd", {"GET": feed.streams(endpoint, BY_ITSELF)}),))
    )
    got = await site.get("/odd", Accept="text/event-stream")
    assert (got.status, got.text) == (406, "This answer has no event stream")


async def test_silence_is_broken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "HEARTBEAT_S", 0.02)
    source = Source(site, KVS_LIST, listed("a"))
    async with listening(site.address, "/v1/kv/?recurse") as events:
        await events.next()
        assert [(await events.next()).comment for _ in range(3)] == ["", "", ""]
    assert source.asked == [0, 5], "the read is not repeated for it"


async def test_an_endpoint_that_does_not_wait_is_not_asked_without_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(_feed: object, pause_s: float) -> None:
        pauses.append(pause_s)
        await asyncio.sleep(0)

    monkeypatch.setattr(feed._Feed, "_sleep", pause)
    site.agent.answer(KVS_LIST, IndexedDirEntries(index=5))
    async with listening(site.address, "/v1/kv/?recurse") as events:
        await events.next()
        await until(lambda: len(pauses) >= 9)
    assert pauses[:9] == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 1.0]


async def test_a_client_that_goes_is_forgotten_at_once(site: Site) -> None:
    source = Source(site, KVS_LIST, listed("a"))
    async with listening(site.address, "/v1/kv/?recurse") as events:
        await events.next()
        await until(lambda: source.waiting == 1)
        assert site.interface.stream_count == 1
    await until(lambda: source.waiting == 0 and site.interface.stream_count == 0)


async def test_closing_ends_streams_at_once(site: Site) -> None:
    source = Source(site, KVS_LIST, listed("a"))
    async with listening(site.address, "/v1/kv/?recurse") as events:
        await events.next()
        await until(lambda: source.waiting == 1)
        async with asyncio.timeout(1):
            await site.interface.aclose()
        assert await events.rest() == b""
    assert (source.waiting, site.interface.stream_count) == (0, 0)


async def test_there_are_only_so_many(serve: Serve) -> None:
    site = await serve(config=HttpConfig(max_streams=2))
    Source(site, KVS_LIST, listed("a"))
    async with listening(site.address, "/v1/kv/?recurse") as one, listening(site.address, "/v1/kv/?recurse") as two:
        await one.next()
        await two.next()
        got = await site.get("/v1/kv/?recurse", Accept="text/event-stream")
        assert (got.status, got.text) == (429, "Too many event streams")
    await until(lambda: site.interface.stream_count == 0)
    async with listening(site.address, "/v1/kv/?recurse") as again:
        assert (await again.next()).name == "whole"


async def test_a_client_that_does_not_read_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked for it meanwhile, and nothing is queued but the one event."""
    monkeypatch.setattr(answer, "WRITE_TIMEOUT_S", 0.2)
    source = Source(site, KVS_LIST, listed("a", value=bytes(12_000_000)))
    reader, writer = await site.connect()
    writer.write(b"GET /v1/kv/?recurse HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
    await until(lambda: site.interface.stream_count == 1)
    for _ in range(20):
        source.change()
    await until(lambda: site.interface.stream_count == 0)
    assert source.asked == [0]
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(80_000_000), 10)
    writer.close()


async def test_an_old_client_reads_until_the_end(site: Site) -> None:
    Source(site, KVS_LIST, listed("a"))
    async with (
        aiohttp.ClientSession(version=aiohttp.HttpVersion10) as session,
        session.get(f"http://{site.address}/v1/kv/?recurse", headers={"Accept": "text/event-stream"}) as response,
    ):
        async with asyncio.timeout(5):
            assert (await response.content.readline()) == b"retry: 1000\n"
