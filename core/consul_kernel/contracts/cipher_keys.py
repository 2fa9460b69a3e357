"""What the blocks of ciphers with shared keys have in common: `key`, `keys`, and the agent file's `encrypt`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import ClassVar

from .cipher import CipherContext
from .errors import PluginStartError
from .plugin import KeyFaultError, PluginConfig


class KeyedCipherConfig(PluginConfig, frozen=True, kw_only=True):
    """Base of such a block's record; a cipher's own says which `key_lengths`, in bytes, are legal."""

    key: str = ""
    """The key that seals; it opens, too. Without it the agent file's `encrypt` seals, else the first of `keys`."""
    keys: list[str] = []
    """Further keys that open, such as the one before the last change."""

    key_lengths: ClassVar[tuple[int, ...]] = (32,)

    def __post_init__(self) -> None:
        """Refuse a bad key where the file's reader can still say in which line it is."""
        if self.key:
            self._decode(self.key, "key")
        for number, text in enumerate(self.keys):
            self._decode(text, f"keys[{number}]")

    def ring(self, cipher: str, context: CipherContext) -> Sequence[bytes]:
        """All keys, the one that seals first. Raises PluginStartError where there is none."""
        first = [self._decode(self.key, "key")] if self.key else []
        rest = [self._decode(text, "keys") for text in self.keys]
        shared = [context.encrypt] if context.encrypt else []
        ring = list(dict.fromkeys([*first, *shared, *rest]))
        if not ring:
            raise PluginStartError(
                f'cipher "{cipher}" has no key: set `key` in its block, or `encrypt` in the agent file '
                "(`consul-kernel keygen` makes one)"
            )
        return ring

    def _decode(self, text: str, where: str) -> bytes:
        # The text itself is never shown: it would end up in a log.
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise KeyFaultError(where, f"is not base64: {error}") from None
        if len(key) not in self.key_lengths:
            raise KeyFaultError(where, f"holds {len(key)} bytes, expected {_either(self.key_lengths)}")
        return key


def _either(numbers: Sequence[int]) -> str:
    """`16, 24 or 32`."""
    *first, last = map(str, numbers)
    return f"{', '.join(first)} or {last}" if first else last
