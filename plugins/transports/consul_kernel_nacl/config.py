"""The block `cipher "nacl" { … }`."""

from __future__ import annotations

from typing import ClassVar

from consul_kernel.contracts.cipher_keys import KeyedCipherConfig

from .cipher import KEY_LENGTHS


class NaclConfig(KeyedCipherConfig, frozen=True, kw_only=True):
    """Keys are in base64, each of 32 bytes (16 and 24 are taken too, as in Consul's `encrypt`); `consul-kernel keygen`
    makes one. A cipher without any key does not start.
    """

    key_lengths: ClassVar[tuple[int, ...]] = KEY_LENGTHS
