"""A slice of `tests/fuzz/gossip.py`, and what ciphers must refuse."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.errors import CipherError, PeerProtocolError
from consul_kernel_swim.core.events import Effect, Notify, PacketReceived
from consul_kernel_swim.core.swim import Swim
from consul_kernel_swim.sealing import Sealing
from fuzz.campaigns import PACKET_CAMPAIGNS, STREAM_CAMPAIGNS, Campaign
from fuzz.gossip import KEYS, Batch
from fuzz.gossip_corpus import PACKETS, PEER, Maker
from fuzz.gossip_victims import CoreVictim, installed_ciphers

SEED = 20_000
CIPHERS = installed_ciphers(KEYS)
OTHERS = installed_ciphers([bytes(reversed(key)) for key in KEYS])


@pytest.mark.parametrize("batch", [0, 2, 3, 4, 6, 7])
def test_nothing_that_is_sent_raises_or_grows_and_what_is_unusable_is_counted(batch: int) -> None:
    outcome = Batch(SEED, batch).run(5_000)
    assert not outcome.fault
    assert outcome.counters["malformed"] > 100
    assert outcome.counters["streams_refused"] > 100
    assert outcome.counters["sealed_refused"] > 100


@pytest.mark.parametrize("campaign", [*PACKET_CAMPAIGNS, *STREAM_CAMPAIGNS], ids=lambda campaign: campaign.__name__)
def test_no_flood_of_one_kind_fills_the_memory(campaign: Campaign) -> None:
    victim = CoreVictim(random.Random(1))
    streams = campaign in STREAM_CAMPAIGNS
    for message in islice(campaign(random.Random(2)), 20 if streams else 4_000):
        if streams:
            victim.stream([message])
        else:
            victim.packet(message)
    victim.check()


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.lists(st.binary(max_size=100), max_size=10))
def test_any_bytes_in_any_state(rng: random.Random, packets: list[bytes]) -> None:
    victim, maker = CoreVictim(rng), Maker(rng)
    for packet in packets:
        victim.packet(maker.packet())
        victim.packet(packet)
        victim.stream([packet[:3], packet[3:]])
        victim.wait(rng.randrange(2_000))
    victim.check()


def step(swim: Swim, packet: bytes) -> list[Effect]:
    return swim.step(PacketReceived(packet, PEER), 10)


@pytest.mark.parametrize("packet", PACKETS, ids=range(len(PACKETS)))
def test_a_packet_that_is_replayed_tells_the_application_nothing_new(packet: bytes) -> None:
    """Ciphers do not refuse a replay, so the protocol must: incarnations, Lamport times and sequence numbers do."""
    swim = CoreVictim(random.Random(1)).swim
    step(swim, packet)
    members, times = swim.members(), swim.lamport_times()
    for _ in range(3):
        assert not [effect for effect in step(swim, packet) if isinstance(effect, Notify)]
    assert (swim.members(), swim.lamport_times()) == (members, times)


@pytest.mark.parametrize("name", CIPHERS)
class TestSealed:
    def test_truncated_packets_are_refused(self, name: str) -> None:
        sealing = Sealing(CIPHERS[name])
        sealed = sealing.seal_packet(PACKETS[0])
        for length in range(len(sealed)):
            refused(sealing, sealed[:length])

    def test_forged_packets_are_refused(self, name: str) -> None:
        """Every bit, but for the version's, which decides how the rest is read."""
        sealing = Sealing(CIPHERS[name])
        sealed = sealing.seal_packet(PACKETS[0])
        for bit in range(8, 8 * len(sealed)):
            forged = bytearray(sealed)
            forged[bit // 8] ^= 1 << bit % 8
            refused(sealing, bytes(forged))
        refused(sealing, sealed + b"\0")
        refused(sealing, Sealing(OTHERS[name]).seal_packet(PACKETS[0]))
        refused(sealing, PACKETS[0])

    def test_what_was_sealed_elsewhere_is_refused_here(self, name: str) -> None:
        """A packet of another pool, one out of a stream, and one with another label."""
        cipher: Cipher = CIPHERS[name]
        blue, green = Sealing(cipher, b"blue"), Sealing(cipher, b"green")
        packet = blue.seal_packet(PACKETS[0])
        refused(green, packet)
        refused(green, packet.replace(b"\xf4\x04blue", b"\xf4\x05green"))
        refused(Sealing(cipher), packet.removeprefix(b"\xf4\x04blue"))
        frame = Sealing(cipher).seal_stream(PACKETS[0], dialling=True)
        refused(Sealing(cipher), frame[5:])


def refused(sealing: Sealing, packet: bytes) -> None:
    with pytest.raises((CipherError, PeerProtocolError)):
        sealing.open_packet(packet)
