"""The messages of exchanges by digests: round trips, arbitrary bytes, and what is refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel_swim.core.digest_messages import (
    BRIEF_BYTES_MAX,
    BUCKETS_MAX,
    DIFFERING_MAX,
    FAILED_MAX,
    Difference,
    Digest,
    PartialState,
    encode_partial_state,
)
from consul_kernel_swim.core.events import Answer, StreamReceived
from consul_kernel_swim.core.messages import Alive, MessageType, NodeState, RemoteNode
from consul_kernel_swim.core.packets import compress_message
from consul_kernel_swim.core.serf_messages import Brief, decode_brief
from consul_kernel_swim.core.streams import StreamDecoder, StreamMessage
from consul_kernel_swim.core.wire import pack
from plugins.membership.swim.core_pair import RARELY, STRANGER, Pair, whole

small = settings(max_examples=100)
words = st.integers(0, (1 << 64) - 1)
pairs = st.lists(st.tuples(words, words), max_size=20).map(tuple)
buckets = st.integers(0, 8).flatmap(lambda power: st.lists(words, min_size=1 << power, max_size=1 << power)).map(tuple)
alives = st.builds(
    Alive,
    st.integers(0, 0xFFFF_FFFF),
    st.text(max_size=20),
    st.binary(min_size=4, max_size=4),
    st.integers(0, 0xFFFF),
    st.binary(max_size=100),
    st.binary(min_size=6, max_size=7),
)
nodes = st.lists(st.builds(RemoteNode, st.sampled_from(NodeState), alives), max_size=5).map(tuple)
messages = st.one_of(
    st.builds(Digest, buckets, pairs, st.binary(max_size=200)),
    st.builds(
        Difference,
        st.binary(max_size=256),
        pairs,
        st.lists(words, max_size=9).map(tuple),
        pairs,
        st.binary(max_size=200),
    ),
    st.builds(PartialState, nodes, st.binary(max_size=300), st.lists(words, max_size=9).map(tuple), st.booleans()),
)
times = st.integers(0, (1 << 63) - 1)


@small
@given(messages, st.integers(1, 50))
def test_message_round_trip(message: Digest | Difference | PartialState, size: int) -> None:
    data = message.encode()
    assert whole(data) == message
    assert whole(compress_message(data)) == message
    decoder = StreamDecoder()
    seen: list[StreamMessage | None] = []
    for at in range(0, len(data), size):
        assert not any(seen)
        seen.append(decoder.feed(data[at : at + size]))
    assert seen[-1] == message


@small
@given(times, times, times, times, words)
def test_serfs_part_round_trip(a: int, b: int, c: int, d: int, events: int) -> None:
    assert decode_brief(Brief(a, b, c, d, events).encode()) == Brief(a, b, c, d, events)


def digest(**fields: object) -> bytes:
    return bytes((MessageType.DIGEST,)) + pack({"Buckets": bytes(8), "Failed": b"", "UserState": b"", **fields})


def difference(**fields: object) -> bytes:
    empty = {"Asked": b"", "Failed": b"", "Indices": b"", "Members": b"", "UserState": b""}
    return bytes((MessageType.DIFFERENCE,)) + pack({**empty, **fields})


REFUSED = {
    "no bucket": digest(Buckets=b""),
    "half a bucket": digest(Buckets=bytes(12)),
    "three buckets": digest(Buckets=bytes(24)),
    "too many buckets": digest(Buckets=bytes(16 * BUCKETS_MAX)),
    "half a failed member": digest(Failed=bytes(8)),
    "too many failed members": digest(Failed=bytes(16 * (FAILED_MAX + 1))),
    "too much of the upper layer": digest(UserState=bytes(BRIEF_BYTES_MAX + 1)),
    "buckets that are a number": digest(Buckets=8),
    "too many indices": difference(Indices=bytes(BUCKETS_MAX + 1)),
    "half a member": difference(Members=bytes(24)),
    "too many members": difference(Members=bytes(16 * (DIFFERING_MAX + 1))),
    "too many asked members": difference(Asked=bytes(8 * (FAILED_MAX + 1))),
    "half an asked member": difference(Asked=bytes(4)),
    "half a key": bytes((MessageType.PARTIAL_STATE,)) + pack({"Asked": bytes(4), "Nodes": 0, "UserStateLen": 0}),
    "too many nodes": bytes((MessageType.PARTIAL_STATE,)) + pack({"Nodes": 1 << 20, "UserStateLen": 0}),
    "no struct": bytes((MessageType.DIGEST, 1)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_breaks_a_bound_is_refused(what: str) -> None:
    with pytest.raises(PeerProtocolError):
        whole(REFUSED[what])


def test_what_keeps_the_bounds_is_taken() -> None:
    assert isinstance(whole(digest(Buckets=bytes(8 * BUCKETS_MAX), Failed=bytes(16 * FAILED_MAX))), Digest)
    assert isinstance(whole(difference(Indices=bytes(BUCKETS_MAX), Asked=bytes(8 * FAILED_MAX))), Difference)


@small
@given(st.sampled_from((224, 225, 226)), st.binary(max_size=300))
def test_arbitrary_bytes_are_read_or_refused(kind: int, body: bytes) -> None:
    try:
        StreamDecoder().feed(bytes((kind,)) + body)
    except PeerProtocolError:
        return


@small
@given(messages, st.integers(0, 1 << 16), st.integers(1, 255))
def test_damaged_message_is_answered_once_and_never_fatal(
    message: Digest | Difference | PartialState, at: int, flip: int
) -> None:
    data = bytearray(message.encode())
    data[1 + at % (len(data) - 1)] ^= flip
    try:
        damaged = StreamDecoder().feed(bytes(data))
    except PeerProtocolError:
        return
    if damaged is not None:
        side = Pair().a
        assert sum(isinstance(effect, Answer) for effect in side.do(StreamReceived(1, damaged, STRANGER))) == 1


def test_answer_that_cannot_be_read_by_the_upper_layer_is_counted() -> None:
    side = Pair(RARELY).a
    messages: tuple[StreamMessage, ...] = (Digest((0,), (), b"\xc1"), Difference(b"", (), (), (), b""))
    for number, message in enumerate(messages):
        side.do(StreamReceived(number, message, STRANGER))
        assert side.effects[-1] == Answer(number, None)
    assert side.swim.counters["malformed"] == 2


def test_keys_and_indices_of_nobody_are_answered_with_nobody() -> None:
    side = Pair(RARELY).a
    strangers = tuple(random.Random(1).getrandbits(64) for _ in range(500))
    side.do(StreamReceived(1, PartialState((), b"", strangers), STRANGER))
    (answer,) = (effect.reply for effect in side.effects if isinstance(effect, Answer))
    assert answer is not None
    reply = whole(answer)
    assert isinstance(reply, PartialState)
    assert reply.nodes == ()
    assert reply.encode() == encode_partial_state([], reply.user_state, with_events=False)
