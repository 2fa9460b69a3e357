"""Cipher `aes-gcm`: gossip sealed as memberlist does it, so that Serf and Consul agents with the same key can join."""

from __future__ import annotations

from consul_kernel.contracts.cipher import CipherContext, CipherPlugin
from consul_kernel.hookspecs import hookimpl

from .cipher import AesGcmCipher
from .config import AesGcmConfig


def _create(context: CipherContext, config: AesGcmConfig) -> AesGcmCipher:
    return AesGcmCipher(config.ring("aes-gcm", context))


PLUGIN = CipherPlugin(
    name="aes-gcm",
    api=1,
    create=_create,
    config_type=AesGcmConfig,
    summary="AES-GCM under a ring of keys, as memberlist, Serf and Consul seal their gossip (OpenSSL)",
)


@hookimpl
def consul_kernel_register_cipher() -> CipherPlugin:
    """Offer this cipher."""
    return PLUGIN
