"""Targets, queries and whole requests that nobody planned for."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote_to_bytes, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consul_kernel.structs.kv import DirEntry, IndexedDirEntries
from consul_kernel.structs.methods import KVS_GET
from consul_kernel_http import gojson
from consul_kernel_http.options import UintError, parse_uint
from consul_kernel_http.target import Query, TargetError, clean_path, octets_of, shown, split_target, unescape

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

octets = st.binary(max_size=40)
texts = st.text(max_size=30)


@given(octets)
def test_escaped_octets_come_back(value: bytes) -> None:
    assert octets_of(unescape(quote(value))) == value


@given(st.text(max_size=60))
def test_unescape_agrees_with_the_library_or_refuses(text: str) -> None:
    text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    try:
        assert octets_of(unescape(text)) == unquote_to_bytes(text)
    except TargetError:
        assert "%" in text


@given(octets)
def test_what_is_shown_is_valid_unicode_with_one_mark_per_bad_octet(value: bytes) -> None:
    text = shown(value.decode("utf-8", "surrogateescape"))
    assert text == gojson.text_of(value)
    text.encode()  # would raise for surrogates
    bad = sum(1 for char in value.decode("utf-8", "surrogateescape") if "\udc80" <= char <= "\udcff")
    assert text.count("\ufffd") == bad + value.decode("utf-8", "ignore").count("\ufffd")


@given(st.lists(st.tuples(texts, texts), max_size=6))
def test_queries_survive_encoding(pairs: list[tuple[str, str]]) -> None:
    query = Query(urlencode(pairs))
    for name, _ in pairs:
        assert name in query
        assert query.all(name) == [value for other, value in pairs if other == name]
    if pairs:
        assert query.get(pairs[0][0]) == pairs[0][1]
    ordered = sorted(pairs, key=lambda pair: pair[0])
    assert query.encoded() == "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in ordered)


@given(st.text(max_size=60))
def test_any_query_is_read_or_refused(raw: str) -> None:
    try:
        query = Query(raw)
    except TargetError:
        assert ";" in raw or "%" in raw
    else:
        assert query.get("absent ") == ""


@given(st.text(alphabet="/.a", max_size=20))
def test_clean_paths_are_clean_and_stay(path: str) -> None:
    cleaned = clean_path("/" + path)
    assert cleaned.startswith("/")
    assert "//" not in cleaned
    assert not {".", ".."} & set(cleaned.split("/"))
    assert clean_path(cleaned) == cleaned


@given(st.text(max_size=60))
def test_any_target_is_split_or_refused(raw: str) -> None:
    try:
        path, _ = split_target(raw)
    except TargetError:
        return
    assert path.startswith("/")


@given(st.integers(0, 2**64 - 1), st.integers(0, 50))
def test_every_unsigned_number_is_read(number: int, zeros: int) -> None:
    assert parse_uint("0" * zeros + str(number)) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1_0", " 1", "1 ", "٣", "1.0", "0x1", "9" * 10_000])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(UintError, match=r"^strconv.ParseUint: parsing "):
        parse_uint(text)


@given(st.recursive(st.none() | st.booleans() | st.integers(0, 2**64 - 1) | texts, lambda v: st.lists(v, max_size=4)))
def test_json_keeps_its_meaning_and_has_no_html(value: object) -> None:
    out = gojson.encode(value)
    assert json.loads(out) == value
    assert not set(b"<>&") & set(out)
    assert json.loads(gojson.encode(value, indent=True)) == value


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_keys_of_any_octets_reach_the_agent(site: Site, data: st.DataObject) -> None:
    key = data.draw(st.binary(min_size=1, max_size=30).filter(lambda k: b"/" not in k and k not in (b".", b"..")))
    site.agent.answer(KVS_GET, IndexedDirEntries(index=1, entries=[DirEntry(key=key, value=b"v")]))
    got = await site.get(f"/v1/kv/{quote(key, safe='')}")
    assert got.status == 200
    assert site.agent.requests(KVS_GET)[-1].key == key
    assert got.json[0]["Key"] == gojson.text_of(key)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    octets=st.binary(max_size=300), prefix=st.sampled_from([b"", b"GET ", b"PUT /v1/kv/a HTTP/1.1\r\n", b"GET /v1/kv/"])
)
async def test_garbage_is_answered_or_dropped(site: Site, octets: bytes, prefix: bytes) -> None:
    site.agent.answer(KVS_GET, IndexedDirEntries(index=1))
    reader, writer = await site.connect()
    writer.write(prefix + octets)
    writer.write_eof()
    try:
        answer = await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    assert answer == b"" or answer.startswith(b"HTTP/1.")
    assert (await site.get("/")).status == 200
