"""The block `cipher "nacl" { … }`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from consul_kernel.contracts.plugin import PluginConfig

from .cipher import KEY_LENGTHS


class NaclConfig(PluginConfig, frozen=True, kw_only=True):
    """Keys are in base64, each of 32 bytes (16 and 24 are taken too, as in Consul's `encrypt`); `consul-kernel keygen`
    makes one. A cipher without any key does not start.
    """

    key: str = ""
    """The key that seals; it opens, too. Without it the agent file's `encrypt` seals, else the first of `keys`."""
    keys: list[str] = []
    """Further keys that open, such as the one before the last change."""

    def __post_init__(self) -> None:
        """Refuse a bad key where the file's reader can still say in which line it is."""
        if self.key:
            _decode(self.key, "key")
        for number, text in enumerate(self.keys):
            _decode(text, f"keys[{number}]")

    def ring(self, encrypt: bytes | None) -> Sequence[bytes]:
        """All keys, the one that seals first."""
        first = [_decode(self.key, "key")] if self.key else []
        rest = [_decode(text, "keys") for text in self.keys]
        shared = [encrypt] if encrypt else []
        return list(dict.fromkeys([*first, *shared, *rest]))


def _decode(text: str, where: str) -> bytes:
    # The text itself is never shown: it would end up in a log.
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{where} is not base64: {error}") from None
    if len(key) not in KEY_LENGTHS:
        raise ValueError(f"{where} holds {len(key)} bytes, expected 32 (or 16 or 24)")
    return key
