"""The ring of keys, and how a message is sealed.

A sealed message is a version byte (1), a random nonce of 24 bytes, and libsodium's secret box
(`crypto_secretbox`, XSalsa20-Poly1305): 16 bytes of tag and the ciphertext. The box takes no associated data,
so a message with some is sealed under a key of its own: BLAKE2b of the associated data, keyed with the ring's
key. It opens with the same associated data only, and costs no byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random as random_bytes

from consul_kernel.contracts.cipher import KEY_IS_PRIMARY, KEY_NOT_INSTALLED
from consul_kernel.contracts.errors import CipherError

VERSION = b"\x01"
NONCE_BYTES = SecretBox.NONCE_SIZE
OVERHEAD = len(VERSION) + NONCE_BYTES + SecretBox.MACBYTES
KEY_LENGTHS = (16, 24, 32)
MAX_KEYS = 64
"""A ring's bound: a message that no key opens costs one attempt for each."""

_PERSON_STRETCH = b"consul-kernel.k1"
_PERSON_ASSOCIATED = b"consul-kernel.a1"


class NaclCipher:
    """Contract `Cipher`. Keys of 16 and 24 bytes are legal and stretched to 32 by BLAKE2b with a fixed person."""

    def __init__(self, ring: Sequence[bytes]) -> None:
        """`ring`: primary first, at least one. Raises CipherError on a bad length."""
        if not ring:
            raise CipherError("a ring needs at least one key")
        self._boxes: dict[bytes, SecretBox] = {}
        for key in ring:
            self.install(key)

    @property
    def overhead(self) -> int:
        """Always exactly this: version, nonce and tag."""
        return OVERHEAD

    def seal(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Seal with the first key of the ring."""
        box = next(iter(self._boxes.values()))
        if associated:
            box = _bind(box, associated)
        return VERSION + box.encrypt(plaintext, random_bytes(NONCE_BYTES))

    def open(self, sealed: bytes, associated: bytes = b"") -> bytes:
        """Try every key, in the ring's order."""
        if len(sealed) < OVERHEAD:
            raise CipherError(f"{len(sealed)} bytes are too few for a sealed message")
        if sealed[:1] != VERSION:
            raise CipherError(f"version {sealed[0]} of sealed messages is unknown")
        nonce = sealed[1 : 1 + NONCE_BYTES]
        ciphertext = sealed[1 + NONCE_BYTES :]
        for box in self._boxes.values():
            try:
                return (_bind(box, associated) if associated else box).decrypt(ciphertext, nonce)
            except CryptoError:
                continue
        raise CipherError("no key of the ring opens the message")

    def keys(self) -> Sequence[bytes]:
        """The ring as it was given, primary first."""
        return tuple(self._boxes)

    def install(self, key: bytes) -> None:
        """Add a key at the ring's end."""
        if len(key) not in KEY_LENGTHS:
            raise CipherError("key size must be 16, 24 or 32 bytes")
        if key in self._boxes:
            return
        if len(self._boxes) >= MAX_KEYS:
            raise CipherError(f"the ring is full: {MAX_KEYS} keys")
        self._boxes[bytes(key)] = SecretBox(_stretch(key))

    def use(self, key: bytes) -> None:
        """Move a key to the ring's front."""
        if key not in self._boxes:
            raise CipherError(KEY_NOT_INSTALLED)
        self._boxes = {key: self._boxes[key], **self._boxes}

    def remove(self, key: bytes) -> None:
        """Forget a key, unless it is the primary."""
        if key == next(iter(self._boxes)):
            raise CipherError(KEY_IS_PRIMARY)
        self._boxes.pop(key, None)


def _stretch(key: bytes) -> bytes:
    if len(key) == SecretBox.KEY_SIZE:
        return bytes(key)
    return hashlib.blake2b(key, digest_size=SecretBox.KEY_SIZE, person=_PERSON_STRETCH).digest()


def _bind(box: SecretBox, associated: bytes) -> SecretBox:
    key = bytes(box)
    return SecretBox(
        hashlib.blake2b(associated, key=key, digest_size=SecretBox.KEY_SIZE, person=_PERSON_ASSOCIATED).digest()
    )
