"""The `nacl` cipher fulfils the contract, and its block says what is wrong with a key."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from nacl.secret import SecretBox

import consul_kernel_nacl
from consul_kernel.contracts.cipher import Cipher, CipherContext
from consul_kernel.contracts.errors import CipherError
from consul_kernel.testing.cipher_kit import CipherContractTests, MakeCipher
from consul_kernel_nacl.cipher import MAX_KEYS, NaclCipher

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


def _create(encrypt: bytes | None, **block: object) -> Cipher:
    plugin = consul_kernel_nacl.consul_kernel_register_cipher()
    return plugin.create(CipherContext(encrypt=encrypt), msgspec.convert(block, plugin.config_type))


class TestNaclCipher(CipherContractTests):
    @pytest.fixture
    def make_cipher(self) -> MakeCipher:
        return lambda key: NaclCipher([key])


def test_layout_is_version_nonce_and_secret_box() -> None:
    sealed = NaclCipher([KEY]).seal(b"hello")
    assert sealed[0] == 1
    assert SecretBox(KEY).decrypt(sealed[1:]) == b"hello"
    assert len(sealed) - 5 == NaclCipher([KEY]).overhead == 41


@pytest.mark.parametrize("length", [16, 24])
def test_short_consul_keys_are_stretched(length: int) -> None:
    short = KEY[:length]
    sealed = _create(short).seal(b"hello")
    stretched = hashlib.blake2b(short, digest_size=32, person=b"consul-kernel.k1").digest()
    assert SecretBox(stretched).decrypt(sealed[1:]) == b"hello"
    assert list(_create(short).keys()) == [short]


def test_bad_encrypt_is_refused() -> None:
    with pytest.raises(CipherError, match="key size must be 16, 24 or 32 bytes"):
        _create(b"short")


def test_ring_is_bounded() -> None:
    cipher = NaclCipher([KEY])
    for number in range(MAX_KEYS - 1):
        cipher.install(bytes([number]) * 16)
    with pytest.raises(CipherError, match="full"):
        cipher.install(OTHER)
