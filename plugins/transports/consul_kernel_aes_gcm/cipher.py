"""memberlist's encryption, byte for byte: AES-GCM under a ring of keys.

A sealed message is a version byte, a random nonce of 12 bytes, the ciphertext and 16 bytes of tag. Version 1 seals the
plaintext as it is; version 0, which old members send, pads it to blocks of 16 first (PKCS #7, RFC 5652 section 6.3).
Version 1 is sealed, both are opened. (Source: hashicorp/memberlist, security.go; AES-GCM: NIST SP 800-38D.)
"""

from __future__ import annotations

from collections.abc import Sequence
from os import urandom
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consul_kernel.contracts.cipher import KEY_IS_PRIMARY, KEY_NOT_INSTALLED
from consul_kernel.contracts.errors import CipherError

VERSION: Final = b"\x01"
PADDED_VERSION: Final = 0
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
BLOCK_BYTES: Final = 16
OVERHEAD: Final = len(VERSION) + NONCE_BYTES + TAG_BYTES
KEY_LENGTHS: Final = (16, 24, 32)
MAX_KEYS: Final = 64
"""A ring's bound: a message that no key opens costs one attempt for each."""

_HEADER_BYTES: Final = len(VERSION) + NONCE_BYTES


class AesGcmCipher:
    """Contract `Cipher`. A key's length chooses AES-128, AES-192 or AES-256."""

    def __init__(self, ring: Sequence[bytes]) -> None:
        """`ring`: primary first, at least one. Raises CipherError on a bad length."""
        if not ring:
            raise CipherError("a ring needs at least one key")
        self._aeads: dict[bytes, AESGCM] = {}
        for key in ring:
            self.install(key)
        self._primary = self._aeads[bytes(ring[0])]

    @property
    def overhead(self) -> int:
        """Always exactly this: version, nonce and tag."""
        return OVERHEAD

    def seal(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Seal with the first key of the ring, as version 1.

        Nonces are random, so a key should seal no more than 2**32 messages (SP 800-38D, 8.3): at a hundred packets
        a second that is a year and more.
        """
        nonce = urandom(NONCE_BYTES)
        return VERSION + nonce + self._primary.encrypt(nonce, plaintext, associated)

    def open(self, sealed: bytes, associated: bytes = b"") -> bytes:
        """Try every key, in the ring's order."""
        if len(sealed) < OVERHEAD:
            raise CipherError(f"{len(sealed)} bytes are too few for a sealed message")
        version = sealed[0]
        if version > VERSION[0]:
            raise CipherError(f"version {version} of sealed messages is unknown")
        nonce, ciphertext = sealed[1:_HEADER_BYTES], sealed[_HEADER_BYTES:]
        for aead in self._aeads.values():
            try:
                plaintext = aead.decrypt(nonce, ciphertext, associated)
            except InvalidTag:
                continue
            return _unpad(plaintext) if version == PADDED_VERSION else plaintext
        raise CipherError("no key of the ring opens the message")

    def keys(self) -> Sequence[bytes]:
        """The ring as it was given, primary first."""
        return tuple(self._aeads)

    def install(self, key: bytes) -> None:
        """Add a key at the ring's end."""
        if len(key) not in KEY_LENGTHS:
            raise CipherError("key size must be 16, 24 or 32 bytes")
        if key in self._aeads:
            return
        if len(self._aeads) >= MAX_KEYS:
            raise CipherError(f"the ring is full: {MAX_KEYS} keys")
        self._aeads[bytes(key)] = AESGCM(key)

    def use(self, key: bytes) -> None:
        """Move a key to the ring's front."""
        if key not in self._aeads:
            raise CipherError(KEY_NOT_INSTALLED)
        self._aeads = {key: self._aeads[key], **self._aeads}
        self._primary = self._aeads[key]

    def remove(self, key: bytes) -> None:
        """Forget a key, unless it is the primary."""
        if key == next(iter(self._aeads)):
            raise CipherError(KEY_IS_PRIMARY)
        self._aeads.pop(key, None)


def _unpad(padded: bytes) -> bytes:
    """The plaintext of version 0. Every byte of the padding is checked, so that nothing else passes for it."""
    count = padded[-1] if padded else 0
    if len(padded) % BLOCK_BYTES or not 1 <= count <= BLOCK_BYTES or padded[-count:] != bytes((count,)) * count:
        raise CipherError("a message of version 0 without its padding")
    return padded[:-count]
