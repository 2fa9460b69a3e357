"""Cipher `nacl`: gossip sealed with libsodium's secret box (XSalsa20-Poly1305)."""

from __future__ import annotations

from consul_kernel.contracts.cipher import CipherContext, CipherPlugin
from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.hookspecs import hookimpl

from .cipher import NaclCipher
from .config import NaclConfig


def _create(context: CipherContext, config: NaclConfig) -> NaclCipher:
    ring = config.ring(context.encrypt)
    if not ring:
        raise PluginStartError(
            'cipher "nacl" has no key: set `key` in its block, or `encrypt` in the agent file '
            "(`consul-kernel keygen` makes one)"
        )
    return NaclCipher(ring)


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
