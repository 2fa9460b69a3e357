"""The wire: what recordings say, round trips, and arbitrary bytes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import MembershipError, PeerProtocolError
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.coordinate import Coordinate
from consul_kernel_swim.core import lzw
from consul_kernel_swim.core.coordinates import decode_coordinate, encode_coordinate
from consul_kernel_swim.core.messages import (
    Ack,
    Alive,
    Dead,
    ErrorReply,
    IndirectPing,
    Message,
    MessageType,
    Nack,
    NodeState,
    Ping,
    RemoteNode,
    Suspect,
    User,
    decode_message,
)
from consul_kernel_swim.core.packets import add_checksum, compress_message, expand, join_messages, split_packet
from consul_kernel_swim.core.serf_messages import (
    decode_serf,
    decode_serf_state,
)
from consul_kernel_swim.core.streams import PushPull, StreamDecoder, StreamMessage, UserStream
from consul_kernel_swim.core.tags import decode_tags, encode_tags

VECTORS = {
    name: bytes.fromhex(text)
    for name, text in json.loads((Path(__file__).parent / "wire_vectors.json").read_text()).items()
}
small = settings(max_examples=150)


def whole(data: bytes) -> StreamMessage:
    message = StreamDecoder().feed(data)
    assert message is not None
    return message


# --- recorded bytes ---


def test_recorded_alive_says_who_and_where() -> None:
    message = decode_message(VECTORS["msg_alive"])
    assert message == Alive(
        1, "va", b"\x7f\0\0\1", 43183, bytes.fromhex("ff82a47a6f6e65a161a4726f6c65a3776562"), b"\1\5\2\2\5\5"
    )
    assert decode_tags(message.meta) == {"zone": "a", "role": "web"}


def test_recorded_ack_carries_our_start_coordinate() -> None:
    message = decode_message(VECTORS["msg_ack"])
    assert isinstance(message, Ack)
    assert message.payload == encode_coordinate(Coordinate())
    assert decode_coordinate(message.payload) == Coordinate()


# --- round trips ---

texts = st.text(max_size=40)
u16 = st.integers(1, 0xFFFF)
u32 = st.integers(0, 0xFFFF_FFFF)
hosts = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
addresses = st.builds(Address, st.ip_addresses(v=4).map(str), u16)
alives = st.builds(Alive, u32, texts, hosts, u16, st.binary(max_size=512), st.binary(min_size=6, max_size=6))
messages = st.one_of(
    st.builds(Ping, u32, texts, st.one_of(st.none(), addresses), texts),
    st.builds(IndirectPing, u32, texts, addresses, st.booleans(), st.one_of(st.none(), addresses), texts),
    st.builds(Ack, u32, st.one_of(st.none(), st.binary(max_size=300))),
    st.builds(Nack, u32),
    st.builds(Suspect, u32, texts, texts),
    st.builds(Dead, u32, texts, texts),
    alives,
    st.builds(User, st.binary(max_size=600)),
    st.builds(ErrorReply, texts),
)


@small
@given(messages)
def test_message_round_trip(message: Message) -> None:
    assert decode_message(message.encode()) == message


@small
@given(st.lists(st.builds(RemoteNode, st.sampled_from(NodeState), alives), max_size=8), st.binary(), st.booleans())
def test_push_pull_round_trip(nodes: list[RemoteNode], state: bytes, join: bool) -> None:
    message = PushPull(tuple(nodes), state, join)
    assert whole(message.encode()) == message
    assert whole(compress_message(message.encode())) == message


@small
@given(st.binary(max_size=2000))
def test_user_stream_round_trip(body: bytes) -> None:
    assert whole(UserStream(body).encode()) == UserStream(body)


@small
@given(st.lists(st.builds(lambda kind, body: bytes((kind,)) + body, st.integers(0, 6), st.binary()), min_size=1))
@example([b"\x05x"] * 255)
def test_compound_checksum_and_compression_round_trip(parts: list[bytes]) -> None:
    packet = join_messages(parts)
    assert split_packet(packet) == (parts, False)
    assert split_packet(add_checksum(packet)) == (parts, False)
    assert split_packet(add_checksum(compress_message(packet))) == (parts, False)


@small
@given(st.binary(max_size=5000))
@example(b"")
@example(bytes(300_000))
@example(random.Random(1).randbytes(60_000))
def test_lzw_round_trip(data: bytes) -> None:
    assert lzw.decompress(lzw.compress(data), 400_000) == data


@given(st.dictionaries(texts, texts, max_size=4))
def test_tags_round_trip(tags: dict[str, str]) -> None:
    try:
        meta = encode_tags(tags)
    except MembershipError:
        return
    assert len(meta) <= 512
    assert decode_tags(meta) == tags


def test_meta_without_mark_is_the_role() -> None:
    assert decode_tags(b"web") == {"role": "web"}
    with pytest.raises(MembershipError, match="512"):
        encode_tags({"x": "y" * 600})


# --- what Go's decoder takes besides ---

field_values = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 1 << 33), st.binary(max_size=20), st.lists(st.integers(0, 300)), texts
)
loose_alives = st.fixed_dictionaries(
    {"Addr": st.one_of(hosts, hosts.map(list), field_values)},
    optional=dict.fromkeys(("Incarnation", "Node", "Port", "Meta", "Vsn", "Other"), field_values),
)


@small
@given(loose_alives, st.booleans())
def test_the_fast_and_the_patient_reading_agree(fields: dict[str, object], as_bin: bool) -> None:
    """Through bin or through the raw family, as a map or as an array, a field means the same."""
    octets = {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()}
    usual = outcome(msgpack.packb(octets, use_bin_type=False))
    in_order = [octets.get(name) for name in ("Incarnation", "Node", "Addr", "Port", "Meta", "Vsn")]
    for other in ({name.encode(): value for name, value in octets.items()}, in_order):
        assert outcome(msgpack.packb(other, use_bin_type=as_bin)) == usual


def outcome(alive: bytes) -> Message | None:
    try:
        return decode_message(b"\x04" + alive)
    except PeerProtocolError:
        return None


@pytest.mark.parametrize("head", ["d903", "da0003", "db00000003", "c403", "c50003", "c600000003", "a3"])
def test_a_byte_string_is_read_in_every_form(head: str) -> None:
    assert decode_message(b"\x02\x81\xa7Payload" + bytes.fromhex(head) + b"abc") == Ack(0, b"abc")


def test_what_is_left_out_or_nil_is_zero() -> None:
    assert decode_message(b"\x02\x80") == Ack(0, None)
    assert decode_message(b"\x02\x82\xa5SeqNo\xc0\xa7Payload\xa0") == Ack(0, b"")
    assert decode_message(b"\x03\x81\xa4Node\xc0") == Suspect(0, "", "")
    assert decode_message(b"\x02\x81\xa7Payload\x93\x01\x02\x03") == Ack(0, b"\1\2\3")


# --- what strangers may send ---


@settings(max_examples=600)
@given(st.integers(0, 255), st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_the_peers_fault(kind: int, rest: bytes) -> None:
    data = bytes((kind,)) + rest
    for decode in (decode_message, decode_serf, split_packet, decode_serf_state, decode_tags, StreamDecoder().feed):
        try:
            decode(data)
        except PeerProtocolError:
            continue


@settings(max_examples=400)
@given(st.sampled_from(sorted(VECTORS)), st.data())
def test_damaged_recordings_raise_nothing_but_the_peers_fault(name: str, draw: st.DataObject) -> None:
    data = bytearray(VECTORS[name])
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    damaged = bytes(data[: draw.draw(st.integers(1, len(data)))])
    for decode in (decode_message, split_packet, StreamDecoder().feed):
        try:
            decode(damaged)
        except PeerProtocolError:
            continue
    if damaged[0] == MessageType.USER:
        try:
            decode_serf(damaged[1:])
        except PeerProtocolError:
            pass


def test_expansion_is_bounded() -> None:
    bomb = compress_message(bytes(2_000_000))
    assert len(bomb) < 10_000
    with pytest.raises(PeerProtocolError, match="expands"):
        split_packet(bomb)
    with pytest.raises(PeerProtocolError, match="expands"):
        expand(bomb[1:], 1000)


def test_nesting_is_bounded() -> None:
    packet = b"\x05"
    for _ in range(10):
        packet = join_messages([packet, b"\x05"])
    messages, damaged = split_packet(packet)
    assert damaged
    assert len(messages) <= 4


def test_cut_compound_gives_what_is_whole() -> None:
    packet = join_messages([b"\x02first", b"\x02second"])
    assert split_packet(packet[:-1]) == ([b"\x02first"], True)


def test_wrong_checksum_is_refused() -> None:
    packet = bytearray(add_checksum(b"\x05x"))
    packet[-1] ^= 1
    with pytest.raises(PeerProtocolError, match="checksum"):
        split_packet(bytes(packet))


def test_array_form_and_unknown_keys_are_read() -> None:
    assert decode_message(b"\x05\x93\x07\xa1n\xa1f") == Dead(7, "n", "f")
    assert decode_message(b"\x05\x84\xa3new\x01\xa4Node\xa1n\xa4From\xa1f\xabIncarnation\x07") == Dead(7, "n", "f")


def test_mapped_ipv4_is_read_as_ipv4() -> None:
    host = bytes(10) + b"\xff\xff\x7f\0\0\1"
    ping = b"\x00\x84\xa5SeqNo\x01\xa4Node\xa1n\xaaSourceAddr\xb0" + host + b"\xaaSourcePort\xcd\x1f\x0a"
    assert decode_message(ping) == Ping(1, "n", Address("127.0.0.1", 7946))
