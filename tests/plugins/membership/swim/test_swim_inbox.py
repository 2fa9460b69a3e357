"""What waits for the core: what goes first, what is dropped first, and that all of it is bounded."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import AnnounceJoin, Input, PacketReceived
from consul_kernel_swim.core.messages import Ack, Dead, IndirectPing, MessageType, Nack, Ping, Suspect
from consul_kernel_swim.core.packets import add_checksum, compress_message, join_messages
from consul_kernel_swim.inbox import (
    BYTES_MAX,
    GOSSIP_BYTES_MAX,
    GOSSIP_MAX,
    REQUEST_BYTES_MAX,
    REQUESTS_MAX,
    URGENT_IN_A_ROW,
    URGENT_MAX,
    Inbox,
    first_kind,
)

PEER = Address("10.0.0.2", 8301)
GOSSIP = Suspect(1, "n", "m").encode()
PING = Ping(1, "own").encode()
ACK = Ack(1).encode()
RECORDED = {
    name: bytes.fromhex(text)
    for name, text in json.loads((Path(__file__).parent / "wire_vectors.json").read_text()).items()
}


def received(packet: bytes) -> PacketReceived:
    return PacketReceived(packet, PEER)


def taken(inbox: Inbox) -> list[Input]:
    return [inbox.take() for _ in range(len(inbox))]


@pytest.mark.parametrize("message", [PING, ACK, Nack(1).encode(), IndirectPing(1, "n", PEER).encode()])
def test_probes_are_known_in_every_wrapper(message: bytes) -> None:
    kind = message[0]
    assert first_kind(message) == kind
    assert first_kind(join_messages([message, GOSSIP])) == kind
    assert first_kind(add_checksum(message)) == kind
    assert first_kind(add_checksum(join_messages([message, GOSSIP, GOSSIP]))) == kind
    assert first_kind(compress_message(message)) == MessageType.PING, "short and unseen: taken for a probe"


def test_gossip_is_known_in_every_wrapper() -> None:
    long = join_messages([Dead(n, f"node-{n}", "m").encode() for n in range(40)])
    for packet in (GOSSIP, join_messages([GOSSIP, PING]), add_checksum(GOSSIP), compress_message(long)):
        assert first_kind(packet) not in (MessageType.PING, MessageType.ACK)


@pytest.mark.parametrize("name", ["udp_compound", "udp_compressed", "consul_lan_udp_compressed", "consul_lan_udp_crc"])
def test_recorded_packets_of_every_wrapper_have_a_kind(name: str) -> None:
    assert first_kind(RECORDED[name]) in set(MessageType)


@given(st.binary(max_size=300))
def test_any_bytes_have_a_kind_or_none(packet: bytes) -> None:
    assert -1 <= first_kind(packet) <= 255


def test_what_probing_needs_goes_before_gossip_which_is_never_at_a_stand() -> None:
    inbox = Inbox(Counter())
    for _ in range(3):
        inbox.post_packet(received(GOSSIP))
    inbox.post(AnnounceJoin())
    for _ in range(2 * URGENT_IN_A_ROW):
        inbox.post_packet(received(ACK))
    kinds = [event.packet[0] if isinstance(event, PacketReceived) else "command" for event in taken(inbox)]
    ack, gossip = int(MessageType.ACK), int(MessageType.SUSPECT)
    first = ["command"] + [ack] * (URGENT_IN_A_ROW - 1) + [gossip]
    assert kinds == [*first, *[ack] * URGENT_IN_A_ROW, gossip, ack, gossip]
    with pytest.raises(IndexError):
        inbox.take()


def test_each_lane_keeps_the_order_of_arrival() -> None:
    inbox = Inbox(Counter())
    acks = [received(Ack(n).encode()) for n in range(5)]
    rumours = [received(Suspect(n, "n", "m").encode()) for n in range(5)]
    for ack, rumour in zip(acks, rumours, strict=True):
        inbox.post_packet(rumour)
        inbox.post_packet(ack)
    assert taken(inbox) == [*acks, *rumours]


def test_gossip_is_dropped_first_then_requests_then_answers_and_commands_never() -> None:
    counters: Counter[str] = Counter()
    inbox = Inbox(counters)
    for _ in range(GOSSIP_MAX + 10):
        inbox.post_packet(received(GOSSIP))
    assert counters["inbox_overflows"] == 10
    for _ in range(REQUESTS_MAX + 20):
        inbox.post_packet(received(PING))
    assert counters["inbox_overflows"] == 30
    for _ in range(URGENT_MAX - REQUESTS_MAX):
        inbox.post_packet(received(ACK))
    assert counters["inbox_overflows"] == 30
    inbox.post_packet(received(ACK))
    assert counters["inbox_overflows"] == 31
    inbox.post(AnnounceJoin())
    assert len(inbox) == GOSSIP_MAX + URGENT_MAX + 1
    assert counters["inbox_overflows"] == 31


def test_long_packets_are_bounded_by_their_bytes_and_room_comes_back() -> None:
    counters: Counter[str] = Counter()
    inbox = Inbox(counters)
    long = received(b"\x08" + bytes(60_000))
    room = GOSSIP_BYTES_MAX // 60_001
    for _ in range(room + 5):
        inbox.post_packet(long)
    assert (len(inbox), counters["inbox_overflows"]) == (room, 5)
    taken(inbox)
    for _ in range(room):
        inbox.post_packet(long)
    assert (len(inbox), counters["inbox_overflows"]) == (room, 5)
    for _ in range(3 * URGENT_MAX):
        inbox.post_packet(received(ACK))
        taken(inbox)
    inbox.post_packet(received(ACK))
    assert (len(inbox), counters["inbox_overflows"]) == (1, 5), "what was taken no longer counts"


def test_long_packets_of_gossip_or_requests_leave_room_for_answers() -> None:
    counters: Counter[str] = Counter()
    inbox = Inbox(counters)
    long = bytes(60_000)
    for message, bytes_max in ((GOSSIP, GOSSIP_BYTES_MAX), (PING, REQUEST_BYTES_MAX), (ACK, BYTES_MAX)):
        inbox.post_packet(received(message))
        assert counters["inbox_overflows"] == 0, "there is room for what goes first"
        while not counters["inbox_overflows"]:
            inbox.post_packet(received(message + long))
        counters.clear()
        assert bytes_max - 2 * 60_000 < sum_of_bytes(inbox) <= bytes_max


def sum_of_bytes(inbox: Inbox) -> int:
    return sum(len(event.packet) for event in [*inbox._urgent, *inbox._gossip] if isinstance(event, PacketReceived))
