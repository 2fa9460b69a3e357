"""The `aes-gcm` cipher fulfils the contract, and speaks memberlist's encryption byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import CipherError
from consul_kernel.testing.cipher_kit import CipherContractTests, MakeCipher
from consul_kernel_aes_gcm import cipher as module
from consul_kernel_aes_gcm.cipher import MAX_KEYS, OVERHEAD, AesGcmCipher

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
NONCE = bytes(range(12))

VECTORS = {
    name: {part: bytes.fromhex(octets) for part, octets in vector.items()}
    for name, vector in json.loads((Path(__file__).parent / "memberlist_vectors.json").read_text()).items()
}
"""Captured from Serf 0.9.4 and memberlist 0.3.1 (`_built_`: made by hand and taken by Serf)."""


class TestAesGcmCipher(CipherContractTests):
    @pytest.fixture
    def make_cipher(self) -> MakeCipher:
        return lambda key: AesGcmCipher([key])


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_what_memberlist_sealed_opens(vector: dict[str, bytes]) -> None:
    cipher = AesGcmCipher([KEY[::-1], vector["key"]])
    assert cipher.open(vector["sealed"], vector["associated"]) == vector["plain"]


@pytest.mark.parametrize("name", [name for name in VECTORS if "_v0_" not in name])
def test_what_is_sealed_is_what_memberlist_sealed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vector = VECTORS[name]
    monkeypatch.setattr(module, "urandom", lambda _: vector["sealed"][1:13])
    assert AesGcmCipher([vector["key"]]).seal(vector["plain"], vector["associated"]) == vector["sealed"]


@pytest.mark.parametrize("length", [16, 24, 32])
def test_every_key_length_seals_in_the_same_layout(length: int) -> None:
    key = KEY[:length]
    sealed = AesGcmCipher([key]).seal(b"hello", b"label")
    assert (sealed[0], len(sealed)) == (1, 5 + 29)
    assert AESGCM(key).decrypt(sealed[1:13], sealed[13:], b"label") == b"hello"


def sealed_as_version_0(padded: bytes, key: bytes = KEY) -> bytes:
    return b"\0" + NONCE + AESGCM(key).encrypt(NONCE, padded, b"")


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 32])
def test_version_0_loses_its_padding(length: int) -> None:
    count = 16 - length % 16
    sealed = sealed_as_version_0(b"m" * length + bytes((count,)) * count)
    assert AesGcmCipher([KEY]).open(sealed) == b"m" * length


@pytest.mark.parametrize(
    "padded",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"m" * 15 + b"\0", id="count 0"),
        pytest.param(b"m" * 15 + b"\x11", id="count above a block"),
        pytest.param(b"m" * 12 + b"\x03\x04\x04\x04", id="bytes that differ"),
        pytest.param(b"m" * 14 + b"\x01", id="no whole block"),
    ],
)
def test_version_0_with_other_padding_is_refused(padded: bytes) -> None:
    with pytest.raises(CipherError):
        AesGcmCipher([KEY]).open(sealed_as_version_0(padded))


def refused(action: Callable[[], object]) -> bool:
    try:
        action()
    except CipherError:
        return True
    return False


@settings(max_examples=200)
@given(st.sampled_from(sorted(VECTORS)), st.data())
def test_forged_and_truncated_messages_are_refused(name: str, data: st.DataObject) -> None:
    """Bits flipped, bytes cut, added or exchanged: a CipherError and nothing else. The version is not authenticated,

    so a message of version 1 may be passed off as one of version 0, and then its padding must fit.
    """
    vector = VECTORS[name]
    sealed = bytearray(vector["sealed"])
    match data.draw(st.sampled_from(("flip", "cut", "add", "splice"))):
        case "flip":
            sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del sealed[data.draw(st.integers(0, len(sealed) - 1)) :]
        case "add":
            sealed += data.draw(st.binary(min_size=1, max_size=40))
        case "splice":
            other = VECTORS[data.draw(st.sampled_from(sorted(VECTORS.keys() - {name})))]["sealed"]
            at = data.draw(st.integers(14, min(len(sealed), len(other)) - 1))
            sealed[at:] = other[at:]
    forged = bytes(sealed)
    cipher = AesGcmCipher([vector["key"]])
    if forged[1:] == vector["sealed"][1:] and forged[0] == 1:
        assert cipher.open(forged, vector["associated"]).startswith(vector["plain"])  # version 0 with its padding
    else:
        assert refused(lambda: cipher.open(forged, vector["associated"]))


@settings(max_examples=200)
@given(st.binary(max_size=200), st.binary(max_size=20))
def test_bytes_of_chance_are_refused(sealed: bytes, associated: bytes) -> None:
    assert refused(lambda: AesGcmCipher([KEY, OTHER]).open(sealed, associated))
    assert refused(lambda: AesGcmCipher([KEY, OTHER]).open(b"\x01" + sealed, associated))


@settings(max_examples=50)
@given(st.sampled_from(sorted(VECTORS)), st.binary(max_size=20))
def test_a_message_replayed_elsewhere_is_refused(name: str, elsewhere: bytes) -> None:
    """Under another label or stream header, and once its key has been removed."""
    vector = VECTORS[name]
    cipher = AesGcmCipher([vector["key"]])
    if elsewhere != vector["associated"]:
        assert refused(lambda: cipher.open(vector["sealed"], elsewhere))
    cipher.install(OTHER)
    cipher.use(OTHER)
    assert cipher.open(vector["sealed"], vector["associated"]) == vector["plain"]
    cipher.remove(vector["key"])
    assert refused(lambda: cipher.open(vector["sealed"], vector["associated"]))


def test_ring_is_bounded_and_refusals_are_in_serfs_words() -> None:
    cipher = AesGcmCipher([KEY])
    with pytest.raises(CipherError, match=r"^key size must be 16, 24 or 32 bytes$"):
        cipher.install(bytes(31))
    with pytest.raises(CipherError, match=r"^Requested key is not in the keyring$"):
        cipher.use(OTHER)
    with pytest.raises(CipherError, match=r"^Removing the primary key is not allowed$"):
        cipher.remove(KEY)
    for number in range(MAX_KEYS - 1):
        cipher.install(bytes([number]) * 16)
    with pytest.raises(CipherError, match="full"):
        cipher.install(OTHER)
    assert len(cipher.keys()) == MAX_KEYS


def test_a_ring_needs_a_key() -> None:
    with pytest.raises(CipherError):
        AesGcmCipher([])


def test_overhead_is_what_memberlist_reckons_with() -> None:
    assert AesGcmCipher([KEY]).overhead == OVERHEAD == 29
