"""The ring of gossip keys as the pool may work on it. Serf's texts for what is refused are the ring's own."""

from __future__ import annotations

import base64
from typing import Final

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.errors import CipherError
from consul_kernel.contracts.membership_capabilities import KeyOperation

from .internal_messages import KeyResponse

_NO_RING: Final = "No keyring to modify (encryption not enabled)"
_EMPTY_RING: Final = "Keyring is empty (encryption not enabled)"
_OPEN_TO_STRANGERS: Final = "The keyring is not modified while gossip that is not sealed is accepted"
_IN_THE_CLEAR: Final = "The keyring is not shown while gossip is sent unsealed"


class Keyring:
    """Carries operations out on a cipher's ring; without a cipher each fails.

    While encryption is being introduced, the ring stays as it is: where packets need not be sealed
    (`is_guarded` False) anybody could install a key, and where answers are not sealed (`is_hidden` False)
    anybody could read the keys.
    """

    def __init__(self, cipher: Cipher | None, *, is_guarded: bool = True, is_hidden: bool = True) -> None:
        self._cipher = cipher
        self._is_guarded = is_guarded
        self._is_hidden = is_hidden

    def operate(self, operation: KeyOperation, key: bytes = b"") -> KeyResponse:
        """Do one operation, and say how it went. A change holds from the next packet that is sealed or opened."""
        cipher = self._cipher
        if operation is KeyOperation.LIST:
            if cipher is None:
                return KeyResponse(False, _EMPTY_RING)
            return self._list(cipher)
        if cipher is None:
            return KeyResponse(False, _NO_RING)
        if not self._is_guarded:
            return KeyResponse(False, _OPEN_TO_STRANGERS)
        try:
            self._change(cipher, operation, key)
        except CipherError as error:
            return KeyResponse(False, str(error))
        return KeyResponse(True)

    @staticmethod
    def _change(cipher: Cipher, operation: KeyOperation, key: bytes) -> None:
        """Raises CipherError, and has then changed nothing."""
        if operation is KeyOperation.INSTALL:
            cipher.install(key)
        elif operation is KeyOperation.USE:
            cipher.use(key)
        else:
            cipher.remove(key)

    def _list(self, cipher: Cipher) -> KeyResponse:
        if not self._is_hidden:
            return KeyResponse(False, _IN_THE_CLEAR)
        ring = cipher.keys()
        encoded = tuple(base64.b64encode(key).decode() for key in ring)
        return KeyResponse(True, "", encoded, encoded[0])
