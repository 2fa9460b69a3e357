"""Cipher: how gossip is sealed so that only holders of a key can read or write it.

Clauses: docs/contracts/cipher.md. Kit: `consul_kernel.testing.cipher_kit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from .plugin import Plugin

KEY_NOT_INSTALLED: Final = "Requested key is not in the keyring"
KEY_IS_PRIMARY: Final = "Removing the primary key is not allowed"
"""Serf's words for what a ring refuses: operators read them, and other agents of a pool may be asked for them."""


@runtime_checkable
class Cipher(Protocol):
    """Authenticated encryption under a ring of keys. The first key seals; every key opens."""

    @property
    def overhead(self) -> int:
        """The most bytes by which a sealed message is longer than its plaintext."""
        ...

    def seal(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Encrypt and authenticate with the primary key; `associated` is authenticated, not sent."""
        ...

    def open(self, sealed: bytes, associated: bytes = b"") -> bytes:
        """The plaintext. Raises CipherError when no key of the ring authenticates it."""
        ...

    def keys(self) -> Sequence[bytes]:
        """The ring, primary first; never empty."""
        ...

    def install(self, key: bytes) -> None:
        """Add a key that opens. A key already there is no change. Raises CipherError on a bad length."""
        ...

    def use(self, key: bytes) -> None:
        """Make an installed key the primary. Raises CipherError when it is not installed."""
        ...

    def remove(self, key: bytes) -> None:
        """Forget a key; an unknown one is no error. Raises CipherError for the primary."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CipherContext:
    """What a cipher is made with: the agent file's `encrypt` key (raw bytes), or None where only the block has one."""

    encrypt: bytes | None = None


CipherPlugin = Plugin[CipherContext, Cipher]
