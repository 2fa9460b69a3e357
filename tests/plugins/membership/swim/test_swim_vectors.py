"""Every recording of serf 0.9.4, Consul 1.10.11 and memberlist 0.3.1 is read and written again, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import msgpack
import pytest

from consul_kernel_swim.core import lzw
from consul_kernel_swim.core.messages import Alive, MessageType, User, decode_message
from consul_kernel_swim.core.packets import add_checksum, compress_message, expand, join_messages, split_packet
from consul_kernel_swim.core.serf_messages import decode_serf, decode_serf_state
from consul_kernel_swim.core.streams import PushPull, StreamDecoder, StreamMessage
from consul_kernel_swim.core.tags import decode_tags, encode_tags
from consul_kernel_swim.sealing import Sealing

VECTORS = {
    name: bytes.fromhex(text)
    for name, text in json.loads((Path(__file__).parent / "wire_vectors.json").read_text()).items()
}
LABEL = b"blue"
MESSAGES = sorted(name for name in VECTORS if "msg_" in name)
PACKETS = sorted(name for name in VECTORS if "udp_" in name)
STREAMS = sorted(name for name in VECTORS if "tcp_" in name and not name.endswith("_plain"))
SHORT_RING = "tcp_push_pull_join_built"
"""Made by hand and taken by serf, without the 512 slots for events that Go writes."""


def write_message_again(data: bytes) -> bytes:
    """Through the record of every layer, down to the tags and the Serf message inside."""
    message = decode_message(data)
    if isinstance(message, Alive) and message.meta:
        assert encode_tags(decode_tags(message.meta)) == as_sorted(message.meta)
    if isinstance(message, User):
        inner = decode_serf(message.body)
        assert inner is not None
        return User(inner.encode()).encode()
    return message.encode()


def as_sorted(meta: bytes) -> bytes:
    """Go writes a map in random order."""
    tags = msgpack.unpackb(meta[1:], raw=True)
    packed: bytes = msgpack.packb(dict(sorted(tags.items())), use_bin_type=False)
    return meta[:1] + packed


def write_packet_again(data: bytes) -> bytes:
    """Through every wrapper, kept in the order in which it was found."""
    kind = data[0]
    if kind == MessageType.HAS_CRC:
        split_packet(data)
        return add_checksum(write_packet_again(data[5:]))
    if kind == MessageType.COMPRESS:
        return compress_message(write_packet_again(expand(data[1:], 1 << 20)))
    if kind == MessageType.COMPOUND:
        parts, damaged = split_packet(data)
        assert not damaged
        return join_messages([write_message_again(part) for part in parts])
    return write_message_again(data)


def write_stream_again(data: bytes) -> bytes:
    if data[0] == MessageType.COMPRESS:
        return compress_message(write_stream_again(expand(data[1:], 1 << 24)))
    return whole(data).encode()


def without_label(data: bytes) -> bytes:
    return data[2 + data[1] :] if data[0] == MessageType.HAS_LABEL else data


def whole(data: bytes) -> StreamMessage:
    message = StreamDecoder().feed(data)
    assert message is not None
    return message


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message(name: str) -> None:
    assert write_message_again(VECTORS[name]) == VECTORS[name]


@pytest.mark.parametrize("name", PACKETS)
def test_a_packet(name: str) -> None:
    sealing = Sealing(None, LABEL if name.startswith("label_") else b"")
    plain = sealing.open_packet(VECTORS[name])
    assert sealing.seal_packet(write_packet_again(plain)) == VECTORS[name]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream(name: str) -> None:
    sealing = Sealing(None, LABEL if name.startswith("label_") else b"")
    again = write_stream_again(without_label(VECTORS[name]))
    assert sealing.seal_stream(again, dialling=not name.endswith("_reply")) == VECTORS[name]


@pytest.mark.parametrize("name", [name for name in STREAMS if name != SHORT_RING])
def test_serfs_part_of_a_state(name: str) -> None:
    message = whole(without_label(VECTORS[name]))
    state = message.user_state if isinstance(message, PushPull) else b""
    assert not state or decode_serf_state(state).encode() == state


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_stream_in_pieces_of_any_size(name: str, piece: int) -> None:
    data = without_label(VECTORS[name])
    decoder = StreamDecoder()
    found = [decoder.feed(data[start : start + piece]) for start in range(0, len(data), piece)]
    assert found[-1] is not None
    assert found[:-1] == [None] * (len(found) - 1)


@pytest.mark.parametrize("name", [name for name in VECTORS if name.endswith("_plain")])
def test_what_go_compressed_is_what_we_compress(name: str) -> None:
    compressed = msgpack.unpackb(VECTORS[name.removesuffix("_plain")][1:], raw=True)[b"Buf"]
    assert lzw.compress(VECTORS[name]) == compressed
    assert lzw.decompress(compressed, 1 << 20) == VECTORS[name]
