"""No packet exceeds its budget by a byte, and none wastes what would have fitted."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.testing.membership_world import KeyedCipher
from consul_kernel_nacl.cipher import NaclCipher
from consul_kernel_swim.core.events import SendPacket
from consul_kernel_swim.core.messages import IndirectPing, MessageType, Ping, Suspect
from consul_kernel_swim.core.packets import COMPOUND_PARTS_MAX, join_messages, split_packet
from consul_kernel_swim.core.settings import PACKET_BYTES_MAX, Settings
from consul_kernel_swim.sealing import Sealing
from plugins.membership.swim.core_bench import PEER, Bench, alive

CIPHERS: dict[str, Cipher | None] = {"none": None, "keyed": KeyedCipher(b"k"), "nacl": NaclCipher([bytes(32)])}
CHECKSUM_BYTES = 5
COMPOUND_BYTES = 2
PART_BYTES = 2


def packets_of(bench: Bench) -> list[bytes]:
    return [effect.packet for effect in bench.effects if isinstance(effect, SendPacket)]


def settings_for(sealing: Sealing, *, compress: bool = False) -> Settings:
    return Settings(sealed_overhead_bytes=sealing.overhead_bytes, compress_packets=compress)


@settings(max_examples=25)
@given(
    cipher=st.sampled_from(sorted(CIPHERS)),
    label=st.sampled_from((0, 1, 17, 255)),
    compress=st.booleans(),
    highest=st.sampled_from((4, 5)),
    seed=st.integers(0, 1 << 30),
)
def test_sealed_packet_keeps_the_budget(cipher: str, label: int, compress: bool, highest: int, seed: int) -> None:
    sealing = Sealing(CIPHERS[cipher], b"l" * label)
    rng = random.Random(seed)
    bench = Bench(settings_for(sealing, compress=compress))
    for number in range(2, 24):
        name = f"node-{number}-" + "x" * rng.choice((0, 30, 200))
        message = alive(name, number, 1, tag="".join(rng.choices("abcdefgh", k=rng.randrange(400))))
        bench.receive(structs.replace(message, versions=bytes((1, highest, 2, 2, 5, 4))))
        if rng.random() < 0.3:
            bench.receive(Suspect(1, name, "x"))
        bench.receive_serf(b"\x03" + rng.randbytes(rng.randrange(1, 400)))
        bench.receive(Ping(number, "own"))
    bench.wait(2_000)
    sealed = [len(sealing.seal_packet(packet)) for packet in packets_of(bench)]
    assert sealed
    assert max(sealed) <= PACKET_BYTES_MAX
    for packet in packets_of(bench):
        assert sealing.open_packet(sealing.seal_packet(packet)) == packet


def event_of_length(length: int) -> bytes:
    """A complete user message of so many bytes that can be gossiped."""
    return b"\x08" + bytes(length - 1)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("label", [0, 255])
def test_longest_message_that_fits_is_sent_and_a_byte_more_is_counted(cipher: str, label: int) -> None:
    sealing = Sealing(CIPHERS[cipher], b"l" * label)
    bench = Bench(settings_for(sealing))
    bench.add("n", 2)
    bench.wait(5_000)
    longest = PACKET_BYTES_MAX - sealing.overhead_bytes - CHECKSUM_BYTES - COMPOUND_BYTES - PART_BYTES
    courier, queue = bench.swim.courier, bench.swim.serf.user_events.queue
    courier.broadcast(queue, event_of_length(longest + 1))
    assert bench.swim.counters["broadcasts_too_large"] == 1
    courier.broadcast(queue, event_of_length(longest))
    bench.effects.clear()
    bench.wait(1_000)
    assert event_of_length(longest) in [part for packet in packets_of(bench) for part in split_packet(packet)[0]]


def test_packet_is_filled_to_the_last_byte_that_some_message_can_take() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.wait(5_000)
    courier, queue = bench.swim.courier, bench.swim.serf.user_events.queue
    room = PACKET_BYTES_MAX - CHECKSUM_BYTES - COMPOUND_BYTES
    first, second = 700, room - 700 - 2 * PART_BYTES
    for length in (first, second, 300):
        courier.broadcast(queue, event_of_length(length))
    bench.effects.clear()
    bench.wait(300)
    packets = packets_of(bench)
    assert packets[0][0] == MessageType.HAS_CRC
    assert len(packets[0]) == PACKET_BYTES_MAX


def test_compound_holds_255_messages_at_most() -> None:
    bench = Bench(Settings(packet_bytes=60_000))
    bench.add("n", 2)
    bench.wait(5_000)
    courier, queue = bench.swim.courier, bench.swim.serf.user_events.queue
    for number in range(600):
        courier.broadcast(queue, b"\x08" + number.to_bytes(2, "big"))
    bench.effects.clear()
    bench.wait(5_000)
    counts = [len(split_packet(packet)[0]) for packet in packets_of(bench)]
    assert max(counts) == COMPOUND_PARTS_MAX == 255
    bench.receive(Ping(1, "own"))
    assert len(join_messages([b"x"] * 255)) == 2 + 255 * 3


def test_message_is_gossiped_within_the_retransmit_limit() -> None:
    for count, sends in ((2, 8), (9, 8), (10, 8), (99, 8), (100, 12)):
        bench = Bench(Settings(probe_interval_ms=10_000_000))
        for number in range(2, count + 1):
            bench.add(f"n{number}", number)
        bench.wait(60_000)
        bench.sent.clear()
        bench.receive(Suspect(1, "n2", "x"))
        bench.wait(3_000)
        assert sum(message == Suspect(1, "n2", "x") for _, message in bench.sent) == sends, count


def test_compressed_packet_is_sent_only_where_it_is_shorter() -> None:
    bench = Bench(Settings(compress_packets=True))
    bench.receive(IndirectPing(7, "t", PEER, True))
    plain = packets_of(bench)[-1]
    assert plain[0] != MessageType.COMPRESS
    for number in range(40):
        bench.swim.courier.broadcast(bench.swim.serf.user_events.queue, b"\x08" + bytes(30) + bytes((number,)))
    bench.receive(Ping(6, "own"))
    packed = packets_of(bench)[-1]
    assert packed[0] == MessageType.COMPRESS
    assert len(packed) < sum(map(len, split_packet(packed)[0]))
