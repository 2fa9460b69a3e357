"""Serf's messages on the wire: vectors recorded from serf 0.9.4, round trips, and arbitrary bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership import Member, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.internal_messages import (
    KeyRequest,
    KeyResponse,
    decode_conflict_response,
    decode_key_request,
    decode_key_response,
    encode_conflict_response,
)
from consul_kernel_swim.core.messages import User, decode_message
from consul_kernel_swim.core.query_filters import encode_filters, read_filters
from consul_kernel_swim.core.query_messages import Query, QueryResponse, Relay
from consul_kernel_swim.core.serf_messages import (
    JoinIntent,
    LeaveIntent,
    SerfMessage,
    SerfState,
    UserEventMessage,
    decode_serf,
    decode_serf_state,
)
from consul_kernel_swim.core.serf_types import QUERY_FLAG_ACK, SerfType

VECTORS = {
    name: bytes.fromhex(text)
    for name, text in json.loads((Path(__file__).parent / "wire_vectors.json").read_text()).items()
    if "msg_user_" in name
}

small = settings(max_examples=150)


def recorded(name: str) -> SerfMessage:
    message = decode_message(VECTORS[name])
    assert isinstance(message, User)
    inner = decode_serf(message.body)
    assert inner is not None
    return inner


# --- recorded bytes ---


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_recorded_message_is_read_and_written_again(name: str) -> None:
    assert b"\x08" + recorded(name).encode() == VECTORS[name]


def test_recorded_relay_holds_a_response() -> None:
    relay = recorded("msg_user_relay")
    assert isinstance(relay, Relay)
    assert (relay.target, relay.name) == (Address("127.0.0.1", 45005), "py1")
    assert decode_serf(relay.inner) == QueryResponse(11, 2066167233, "va", QUERY_FLAG_ACK, None)


def test_recorded_query_names_where_to_answer() -> None:
    assert recorded("msg_user_query_internal_ping") == Query(
        lamport_time=12,
        query_id=796681885,
        name="_serf_ping",
        payload=b"",
        reply_to=Address("127.0.0.1", 45005),
        source="py1",
        flags=QUERY_FLAG_ACK,
        timeout_ns=5_000_000_000,
    )


def test_recorded_filters_are_read_and_written_again() -> None:
    query = recorded("msg_user_query_uptime")
    assert isinstance(query, Query)
    assert encode_filters(["va", "py1"], {"zone": ".*"}) == query.filters
    filters = read_filters(query.filters)
    assert (filters.fit("py1", {}), filters.fit("py2", {"zone": "a"})) == (True, False)


@pytest.mark.parametrize("name", sorted(name for name in VECTORS if "_key" in name))
def test_recorded_key_message_is_read_and_written_again(name: str) -> None:
    carrier = recorded(name)
    assert isinstance(carrier, Query | QueryResponse)
    payload = carrier.payload or b""
    decode: Callable[[bytes], KeyRequest | KeyResponse] = decode_key_response
    if payload[0] == SerfType.KEY_REQUEST:
        decode = decode_key_request
    assert decode(payload).encode() == payload


def test_recorded_answer_about_a_name_is_read_and_written_again() -> None:
    carrier = recorded("msg_user_query_response_conflict_response")
    assert isinstance(carrier, QueryResponse)
    member = decode_conflict_response(carrier.payload or b"")
    assert member == Member(name="py2", address=Address("127.0.0.1", 38863), tags={"n": "2"}, status=MemberStatus.ALIVE)
    assert encode_conflict_response(member) == carrier.payload


# --- round trips ---

texts = st.text(max_size=40)
u32 = st.integers(0, 0xFFFF_FFFF)
lamport = st.integers(0, 1 << 62)
addresses = st.builds(Address, st.ip_addresses(v=4).map(str), st.integers(1, 0xFFFF))
payloads = st.one_of(st.none(), st.binary(max_size=100))
serf_messages = st.one_of(
    st.builds(LeaveIntent, lamport, texts, st.booleans()),
    st.builds(JoinIntent, lamport, texts),
    st.builds(UserEventMessage, lamport, texts, st.binary(max_size=512), st.booleans()),
    st.builds(QueryResponse, lamport, u32, texts, u32, payloads),
    st.builds(Relay, addresses, texts, st.binary(min_size=1, max_size=100)),
    st.builds(
        Query,
        lamport_time=lamport,
        query_id=u32,
        name=texts,
        payload=payloads,
        reply_to=st.one_of(st.none(), addresses),
        source=texts,
        filters=st.lists(st.binary(max_size=30), max_size=4).map(tuple),
        flags=u32,
        relay_factor=st.integers(0, 255),
        timeout_ns=st.integers(-(1 << 63), (1 << 63) - 1),
    ),
)
members = st.builds(
    Member,
    name=texts,
    address=addresses,
    tags=st.dictionaries(texts, texts, max_size=3),
    status=st.sampled_from(MemberStatus),
    protocol_min=st.integers(0, 255),
    delegate_cur=st.integers(0, 255),
)


@small
@given(serf_messages)
def test_serf_message_round_trip(message: SerfMessage) -> None:
    assert decode_serf(message.encode()) == message


@small
@given(
    lamport,
    lamport,
    lamport,
    st.dictionaries(texts, lamport, max_size=6),
    st.lists(texts, max_size=4),
    st.dictionaries(
        st.integers(1, 400), st.lists(st.tuples(texts, st.binary(max_size=30)), min_size=1, max_size=3), max_size=5
    ),
)
def test_serf_state_round_trip(
    time: int,
    event_time: int,
    query_time: int,
    status_times: dict[str, int],
    left: list[str],
    events: dict[int, list[tuple[str, bytes]]],
) -> None:
    state = SerfState(time, event_time, query_time, status_times, left, events)
    assert decode_serf_state(state.encode()) == state


@small
@given(st.one_of(st.none(), members))
def test_conflict_response_round_trip(member: Member | None) -> None:
    assert decode_conflict_response(encode_conflict_response(member)) == member


@small
@given(payloads, st.booleans(), texts, st.one_of(st.none(), st.lists(texts, max_size=4).map(tuple)), texts)
def test_key_messages_round_trip(
    key: bytes | None, result: bool, message: str, keys: tuple[str, ...] | None, primary_key: str
) -> None:
    assert decode_key_request(KeyRequest(key).encode()) == KeyRequest(key)
    response = KeyResponse(result, message, keys, primary_key)
    assert decode_key_response(response.encode()) == response


@small
@given(st.lists(texts, max_size=4), st.dictionaries(texts, texts, max_size=4), texts, texts)
def test_filters_ask_who_is_named_and_tagged(names: list[str], tags: dict[str, str], name: str, value: str) -> None:
    wanted = {tag: text for tag, text in tags.items() if text.isascii()}
    filters = read_filters(encode_filters(names, {tag: f"^{re.escape(text)}$" for tag, text in wanted.items()}))
    assert filters.fit(name, wanted) is (not names or name in names)
    for tag, text in wanted.items():
        assert filters.fit(names[0] if names else "", {**wanted, tag: value}) is (value == text)


# --- what strangers may send ---


@settings(max_examples=600)
@given(st.integers(0, 12), st.binary(max_size=120))
def test_arbitrary_bytes_raise_nothing_but_the_peers_fault(kind: int, rest: bytes) -> None:
    data = bytes((kind,)) + rest
    decoders = (decode_serf, decode_serf_state, decode_key_request, decode_key_response, decode_conflict_response)
    for decode in (*decoders, lambda content: read_filters([content])):
        try:
            decode(data)
        except PeerProtocolError:
            continue


@settings(max_examples=300)
@given(st.sampled_from(sorted(VECTORS)), st.data())
def test_damaged_recordings_raise_nothing_but_the_peers_fault(name: str, draw: st.DataObject) -> None:
    data = bytearray(VECTORS[name][1:])
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        message = decode_serf(bytes(data[: draw.draw(st.integers(1, len(data)))]))
    except PeerProtocolError:
        return
    assert message is None or decode_serf(message.encode()) == message
