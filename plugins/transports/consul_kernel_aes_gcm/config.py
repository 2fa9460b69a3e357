"""The block `cipher "aes-gcm" { … }`."""

from __future__ import annotations

from typing import ClassVar

from consul_kernel.contracts.cipher_keys import KeyedCipherConfig

from .cipher import KEY_LENGTHS


class AesGcmConfig(KeyedCipherConfig, frozen=True, kw_only=True):
    """Keys are in base64, of 16, 24 or 32 bytes: AES-128, AES-192 or AES-256. They are the same that Consul's `encrypt`
    and Serf's `-encrypt` take; `consul-kernel keygen` makes one. A cipher without any key does not start.
    """

    key_lengths: ClassVar[tuple[int, ...]] = KEY_LENGTHS
