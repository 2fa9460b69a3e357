"""`/v1/kv/:key`: what is asked of the agent, and how its replies are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.kv import DirEntry, IndexedDirEntries, IndexedKeyList, KVOp
from consul_kernel.structs.methods import KVS_APPLY, KVS_GET, KVS_LIST, KVS_LIST_KEYS
from consul_kernel.structs.settings import LimitSettings

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Serve, Site


def entries(*found: DirEntry, index: int = 9) -> IndexedDirEntries:
    return IndexedDirEntries(index=index, known_leader=True, last_contact=12_345_678, entries=list(found) or None)


async def test_one_entry_in_go_s_field_order_with_its_headers(site: Site) -> None:
    entry = DirEntry(key=b"a/b", value=b"hello", flags=2**64 - 1, create_index=5, modify_index=7, lock_index=1)
    site.agent.answer(KVS_GET, entries(entry))
    got = await site.get("/v1/kv/a/b")
    assert got.status == 200
    assert got.text == (
        '[{"LockIndex":1,"Key":"a/b","Flags":18446744073709551615,"Value":"aGVsbG8=","CreateIndex":5,"ModifyIndex":7}]'
    )
    assert got.headers["X-Consul-Index"] == "9"
    assert got.headers["X-Consul-Knownleader"] == "true"
    assert got.headers["X-Consul-Lastcontact"] == "12"
    assert got.headers["X-Consul-Query-Backend"] == "blocking-query"
    assert got.headers["X-Consul-Default-Acl-Policy"] == "allow"
    assert got.headers["Vary"] == "Accept-Encoding"
    assert "X-Consul-Effective-Consistency" not in got.headers
    assert site.agent.requests(KVS_GET)[0].key == b"a/b"


async def test_session_is_shown_only_while_it_holds_the_key(site: Site) -> None:
    site.agent.answer(KVS_GET, entries(DirEntry(key=b"k", session="s1", modify_index=7)))
    assert '"Value":null,"Session":"s1","CreateIndex"' in (await site.get("/v1/kv/k")).text


async def test_html_characters_and_line_separators_are_escaped_as_go_does(site: Site) -> None:
    site.agent.answer(KVS_GET, entries(DirEntry(key="<&>\u2028\u2029é\b\f\n\\b".encode())))
    expected = '"Key":"\\u003c\\u0026\\u003e\\u2028\\u2029é\\u0008\\u000c\\n\\\\b"'
    assert expected in (await site.get("/v1/kv/k")).text


async def test_key_that_is_not_utf8_reaches_the_agent_whole_and_is_shown_with_replacements(site: Site) -> None:
    site.agent.answer(KVS_GET, lambda request: entries(DirEntry(key=request.key)))
    got = await site.get("/v1/kv/a%FF%E2%82")
    assert site.agent.requests(KVS_GET)[0].key == b"a\xff\xe2\x82"
    assert got.json[0]["Key"] == "a\ufffd\ufffd\ufffd"


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("a%20b", b"a b"),
        ("q%3Fx", b"q?x"),
        ("p%25x", b"p%x"),
        ("s%2Fx", b"s/x"),
        ("plus+x", b"plus+x"),
        ("<&>", b"<&>"),
    ],
)
async def test_keys_are_unescaped_once(site: Site, target: str, key: bytes) -> None:
    site.agent.answer(KVS_GET, entries(DirEntry(key=b"k")))
    assert (await site.get(f"/v1/kv/{target}")).status == 200
    assert site.agent.requests(KVS_GET)[0].key == key


@pytest.mark.parametrize("query", ["", "?recurse", "?raw"])
async def test_missing_key_is_404_with_an_index_and_nothing_else(site: Site, query: str) -> None:
    for method in (KVS_GET, KVS_LIST):
        site.agent.answer(method, entries(index=0))
    got = await site.get(f"/v1/kv/none{query}")
    assert (got.status, got.body) == (404, b"")
    assert "Content-Type" not in got.headers
    assert got.headers["X-Consul-Index"] == "1"  # never 0


async def test_raw_value_is_sandboxed_text(site: Site) -> None:
    site.agent.answer(KVS_GET, entries(DirEntry(key=b"k", value=b"<b>\x00\xff")))
    got = await site.get("/v1/kv/k?raw")
    assert got.body == b"<b>\x00\xff"
    assert got.headers["Content-Type"] == "text/plain"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Content-Security-Policy"] == "sandbox"


async def test_recurse_wins_over_raw_and_means_a_prefix(site: Site) -> None:
    site.agent.answer(KVS_LIST, entries(DirEntry(key=b"p/a", value=b"1"), DirEntry(key=b"p/b", value=b"2")))
    got = await site.get("/v1/kv/p/?raw&recurse=false")
    assert [entry["Key"] for entry in got.json] == ["p/a", "p/b"]
    assert site.agent.requests(KVS_LIST)[0].key == b"p/"


@pytest.mark.parametrize("spelling", ["separator", "seperator"])
async def test_keys_up_to_a_separator(site: Site, spelling: str) -> None:
    site.agent.answer(KVS_LIST_KEYS, IndexedKeyList(index=4, known_leader=True, keys=[b"p/a", b"p/b/"]))
    got = await site.get(f"/v1/kv/p/?keys&{spelling}=/")
    assert got.text == '["p/a","p/b/"]'
    request = site.agent.requests(KVS_LIST_KEYS)[0]
    assert (request.prefix, request.seperator) == (b"p/", "/")


async def test_no_keys_is_404(site: Site) -> None:
    site.agent.answer(KVS_LIST_KEYS, IndexedKeyList(index=4, known_leader=True))
    assert (await site.get("/v1/kv/none?keys")).status == 404


async def test_pretty_indents_by_four_and_ends_with_a_newline(site: Site) -> None:
    site.agent.answer(KVS_LIST_KEYS, IndexedKeyList(index=4, keys=[b"a"]))
    assert (await site.get("/v1/kv/?keys&pretty=false")).text == '[\n    "a"\n]\n'


async def test_put_sets_whatever_the_reply(site: Site) -> None:
    site.agent.answer(KVS_APPLY, False)
    got = await site.put("/v1/kv/a?flags=42", b"\x00value", X_Consul_Token="t")
    assert got.json is True
    request = site.agent.requests(KVS_APPLY)[0]
    assert (request.op, request.token, request.datacenter) == (KVOp.SET, "t", "dc1")
    assert (request.dir_ent.key, request.dir_ent.value, request.dir_ent.flags) == (b"a", b"\x00value", 42)


async def test_empty_value_is_none(site: Site) -> None:
    site.agent.answer(KVS_APPLY, True)
    await site.put("/v1/kv/a")
    assert site.agent.requests(KVS_APPLY)[0].dir_ent.value is None


@pytest.mark.parametrize("reply", [True, False])
@pytest.mark.parametrize(
    ("query", "op", "index", "session"),
    [("cas=7", KVOp.CAS, 7, ""), ("acquire=s", KVOp.LOCK, 0, "s"), ("release=s", KVOp.UNLOCK, 0, "s")],
)
async def test_conditional_put_tells_the_reply(
    site: Site, query: str, op: KVOp, index: int, session: str, reply: bool
) -> None:
    site.agent.answer(KVS_APPLY, reply)
    assert (await site.put(f"/v1/kv/a?{query}", b"v")).json is reply
    request = site.agent.requests(KVS_APPLY)[0]
    assert (request.op, request.dir_ent.modify_index, request.dir_ent.session) == (op, index, session)


@pytest.mark.parametrize(
    ("method", "query", "text"),
    [
        ("PUT", "cas=x", 'strconv.ParseUint: parsing "x": invalid syntax'),
        ("PUT", "cas=", 'strconv.ParseUint: parsing "": invalid syntax'),
        ("PUT", "flags=-1", 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ("PUT", "flags=18446744073709551616", 'strconv.ParseUint: parsing "18446744073709551616": value out of range'),
        ("DELETE", "cas=x", 'strconv.ParseUint: parsing "x": invalid syntax'),
    ],
)
async def test_bad_numbers_are_go_s_errors(site: Site, method: str, query: str, text: str) -> None:
    got = await site.send(method, f"/v1/kv/a?{query}", b"v")
    assert (got.status, got.text) == (500, text)
    assert site.agent.calls == []


async def test_flags_that_contradict_each_other_are_refused(site: Site) -> None:
    got = await site.put("/v1/kv/a?cas=1&acquire=s+t", b"v")
    assert (got.status, got.text) == (400, "Conflicting flags: acquire=s+t&cas=1")
    got = await site.send("DELETE", "/v1/kv/a?recurse&cas=1")
    assert (got.status, got.text) == (400, "Conflicting flags: cas=1&recurse=")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_key_is_needed(site: Site, method: str) -> None:
    got = await site.send(method, "/v1/kv/")
    assert (got.status, got.text) == (400, "Missing key name")


@pytest.mark.parametrize(
    ("query", "op", "index", "shown"),
    [
        ("", KVOp.DELETE, 0, True),
        ("?recurse", KVOp.DELETE_TREE, 0, True),
        ("?cas=7", KVOp.DELETE_CAS, 7, False),
    ],
)
async def test_delete(site: Site, query: str, op: KVOp, index: int, shown: bool) -> None:
    site.agent.answer(KVS_APPLY, False)
    assert (await site.send("DELETE", f"/v1/kv/a{query}")).json is shown
    request = site.agent.requests(KVS_APPLY)[0]
    assert (request.op, request.dir_ent.key, request.dir_ent.modify_index) == (op, b"a", index)


async def test_everything_may_be_deleted_at_once(site: Site) -> None:
    site.agent.answer(KVS_APPLY, True)
    assert (await site.send("DELETE", "/v1/kv/?recurse")).json is True


async def test_value_beyond_the_limit_is_413_before_it_is_read(serve: Serve) -> None:
    site = await serve(limits=LimitSettings(kv_max_value_size=1000))
    site.agent.answer(KVS_APPLY, True)
    assert (await site.put("/v1/kv/a", b"x" * 1000)).json is True
    got = await site.put("/v1/kv/b", b"x" * 1001)
    assert got.status == 413
    assert got.text == (
        "Request body(1001 bytes) too large, max size: 1000 bytes. "
        "See https://www.consul.io/docs/agent/options.html#kv_max_value_size."
    )
    assert len(site.agent.calls) == 1


async def test_value_without_a_length_is_bounded_too(serve: Serve) -> None:
    site = await serve(limits=LimitSettings(kv_max_value_size=10))
    site.agent.answer(KVS_APPLY, True)
    reader, writer = await site.connect()
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n")
    assert b" 413 " in await reader.readline()
    assert site.agent.calls == []
    writer.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_failed_calls_carry_no_index(site: Site, method: str) -> None:
    site.agent.answer_all(RpcError("No path to datacenter"))
    got = await site.send(method, "/v1/kv/a?dc=nowhere")
    assert (got.status, got.text) == (500, "No path to datacenter")
    assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "X-Consul-Index" not in got.headers
    assert site.agent.calls[0][1].datacenter == "nowhere"


async def test_an_entry_that_is_shown_again_is_shown_as_it_is_then(site: Site) -> None:
    entry = DirEntry(key=b"k", value=b"one", create_index=5, modify_index=7)
    site.agent.answer(KVS_GET, lambda _: IndexedDirEntries(index=entry.modify_index, entries=[entry]))
    first = await site.get("/v1/kv/k")
    assert await site.get("/v1/kv/k") == first
    entry = DirEntry(key=b"k", value=b"two", create_index=5, modify_index=8)
    assert (await site.get("/v1/kv/k")).json[0]["ModifyIndex"] == 8
    entry = DirEntry(key=b"k", value=b"v" * 5000, create_index=5, modify_index=9)
    assert (await site.get("/v1/kv/k")).json[0]["ModifyIndex"] == 9
