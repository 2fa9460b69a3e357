"""What is sealed and what is taken while encryption is being introduced."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.errors import CipherError
from consul_kernel.testing.membership_world import KeyedCipher
from consul_kernel_aes_gcm.cipher import AesGcmCipher
from consul_kernel_swim.sealing import Sealing

CIPHER = AesGcmCipher([bytes(32)])


@pytest.mark.parametrize("label", [b"", b"blue"])
@pytest.mark.parametrize("verify_incoming", [True, False])
@pytest.mark.parametrize("verify_outgoing", [True, False])
def test_each_switch_does_its_part(label: bytes, verify_incoming: bool, verify_outgoing: bool) -> None:
    sealing = Sealing(CIPHER, label, verify_incoming=verify_incoming, verify_outgoing=verify_outgoing)
    strict, plain = Sealing(CIPHER, label), Sealing(None, label)
    packet = b"\x02packet"
    assert sealing.open_packet(strict.seal_packet(packet)) == packet
    sent = sealing.seal_packet(packet)
    assert (strict if verify_outgoing else plain).open_packet(sent) == packet
    assert (sent == plain.seal_packet(packet)) is not verify_outgoing
    assert (
        sealing.seal_stream(packet, dialling=True) == plain.seal_stream(packet, dialling=True)
    ) is not verify_outgoing
    if verify_incoming:
        with pytest.raises(CipherError):
            sealing.open_packet(plain.seal_packet(packet))
    else:
        assert sealing.open_packet(plain.seal_packet(packet)) == packet
    assert sealing.overhead_bytes == strict.overhead_bytes


def test_another_key_is_refused_where_plain_is_not_taken() -> None:
    sealed = Sealing(KeyedCipher(b"other")).seal_packet(b"packet")
    with pytest.raises(CipherError):
        Sealing(KeyedCipher(b"k"), verify_outgoing=False).open_packet(sealed)
    assert Sealing(KeyedCipher(b"k"), verify_incoming=False).open_packet(sealed) == sealed
