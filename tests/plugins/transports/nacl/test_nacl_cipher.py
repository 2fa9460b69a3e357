"""The `nacl` cipher fulfils the contract, and its block says what is wrong with a key."""

from __future__ import annotations

import base64
import hashlib

import msgspec
import pytest
from nacl.secret import SecretBox

import consul_kernel_nacl
from consul_kernel.contracts.cipher import Cipher, CipherContext
from consul_kernel.contracts.errors import CipherError, PluginStartError
from consul_kernel.testing.cipher_kit import CipherContractTests, MakeCipher
from consul_kernel_nacl.cipher import MAX_KEYS, NaclCipher
from consul_kernel_nacl.config import NaclConfig

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


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


def test_block_key_comes_before_encrypt_and_keys() -> None:
    third = bytes(32)
    assert list(_create(OTHER, key=_text(KEY), keys=[_text(third), _text(OTHER)]).keys()) == [KEY, OTHER, third]
    assert list(_create(OTHER, keys=[_text(KEY)]).keys()) == [OTHER, KEY]
    assert list(_create(None, keys=[_text(KEY), _text(OTHER)]).keys()) == [KEY, OTHER]


def test_no_key_at_all_says_what_to_set() -> None:
    with pytest.raises(PluginStartError, match="set `key` in its block, or `encrypt`"):
        _create(None)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"key": "not base64!"}, "key is not base64"),
        ({"key": _text(bytes(31))}, "key holds 31 bytes, expected 32"),
        ({"keys": [_text(KEY), "AAAA"]}, r"keys\[1\] holds 3 bytes"),
    ],
)
def test_bad_keys_are_configuration_errors_that_do_not_show_them(block: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message) as caught:
        msgspec.convert(block, NaclConfig)
    assert "not base64!" not in str(caught.value)


def test_bad_encrypt_is_refused() -> None:
    with pytest.raises(CipherError, match="this one 5"):
        _create(b"short")


def test_ring_is_bounded() -> None:
    cipher = NaclCipher([KEY])
    for number in range(MAX_KEYS - 1):
        cipher.install(bytes([number]) * 16)
    with pytest.raises(CipherError, match="full"):
        cipher.install(OTHER)
