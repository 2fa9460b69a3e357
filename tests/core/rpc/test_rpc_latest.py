"""The latest reply of a method is encoded and decoded once, and what is kept is bounded."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.rpc.latest import LARGEST_OCTETS, METHODS_MAX, LatestReplies
from consul_kernel.rpc.wire import decode, encode
from consul_kernel.structs.kv import DirEntry, IndexedDirEntries

entries = st.builds(DirEntry, key=st.sampled_from([b"a", b"b"]), flags=st.integers(0, 1))
replies = st.builds(
    IndexedDirEntries,
    index=st.integers(1, 3),
    entries=st.none()
    | st.lists(st.builds(DirEntry, key=st.sampled_from([b"a", b"b"]), flags=st.integers(0, 1)), max_size=2),
)


@given(st.lists(st.tuples(st.sampled_from(["KVS.Get", "KVS.List"]), replies), max_size=20))
def test_octets_and_replies_are_those_of_an_encoder_without_memory(calls: list[tuple[str, IndexedDirEntries]]) -> None:
    server, client = LatestReplies(), LatestReplies()
    for name, reply in calls:
        octets = server.encoded(name, reply, encode)
        assert octets == encode(reply)
        assert client.decoded(name, octets, partial(decode, IndexedDirEntries)) == reply


def test_equal_replies_in_a_row_are_encoded_and_decoded_once() -> None:
    server, client, encoded, decoded = LatestReplies(), LatestReplies(), [], []
    for _ in range(3):
        reply = IndexedDirEntries(index=7, entries=[DirEntry(key=b"a", value=b"1")])
        octets = server.encoded("KVS.Get", reply, lambda one: encoded.append(one) or encode(one))  # type: ignore[func-returns-value]
        client.decoded("KVS.Get", octets, lambda one: decoded.append(one) or decode(IndexedDirEntries, one))  # type: ignore[func-returns-value]
    assert len(encoded) == len(decoded) == 1


def test_methods_are_kept_apart() -> None:
    latest = LatestReplies()
    assert latest.encoded("A", "x", lambda _: b"1") == b"1"
    assert latest.encoded("B", "x", lambda _: b"2") == b"2"


def test_what_is_too_large_or_of_too_many_methods_is_not_kept() -> None:
    latest, large = LatestReplies(), b"x" * (LARGEST_OCTETS + 1)
    latest.encoded("A", "x", lambda _: large)
    assert latest.encoded("A", "x", lambda _: b"made again") == b"made again"
    for number in range(METHODS_MAX):
        latest.encoded(f"method {number}", "x", lambda _: b"1")
    assert latest.encoded("A", "x", lambda _: b"made anew") == b"made anew"
