"""Cipher `nacl`: gossip sealed with libsodium's secret box (XSalsa20-Poly1305)."""

from __future__ import annotations

from consul_kernel.contracts.cipher import CipherContext, CipherPlugin
from consul_kernel.hookspecs import hookimpl

from .cipher import NaclCipher
from .config import NaclConfig


def _create(context: CipherContext, config: NaclConfig) -> NaclCipher:
    return NaclCipher(config.ring("nacl", context))


PLUGIN = CipherPlugin(
    name="nacl",
    api=1,
    create=_create,
    config_type=NaclConfig,
    summary="XSalsa20-Poly1305 under a ring of keys (libsodium)",
)


@hookimpl
def consul_kernel_register_cipher() -> CipherPlugin:
    """Offer this cipher."""
    return PLUGIN
