"""The queries that Serf itself answers: names that begin with `_serf_`, never shown to the application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership_capabilities import KeyOperation

from .environment import Environment
from .internal_messages import KeyResponse, decode_key_request, encode_conflict_response
from .keyring import Keyring
from .query_messages import Query
from .roster import Roster

INTERNAL_PREFIX: Final = "_serf_"
PING: Final = INTERNAL_PREFIX + "ping"
CONFLICT: Final = INTERNAL_PREFIX + "conflict"
KEY_QUERIES: Final = {
    KeyOperation.INSTALL: INTERNAL_PREFIX + "install-key",
    KeyOperation.USE: INTERNAL_PREFIX + "use-key",
    KeyOperation.REMOVE: INTERNAL_PREFIX + "remove-key",
    KeyOperation.LIST: INTERNAL_PREFIX + "list-keys",
}
_KEY_OPERATIONS: Final = {name: operation for operation, name in KEY_QUERIES.items()}
_ENCODED_KEY_BYTES_MIN: Final = 25
"""The shortest key in base64, and its length byte."""


class InternalQueries:
    """Answers by name."""

    def __init__(self, env: Environment, own_name: str, roster: Roster, keyring: Keyring) -> None:
        self._env = env
        self._own_name = own_name
        self._roster = roster
        self._keyring = keyring

    def answer(self, query: Query, fits: Callable[[bytes], bool]) -> bytes | None:
        """The payload of the answer, None for silence; `fits` tells whether a payload is short enough."""
        if query.name == CONFLICT:
            return self._what_is_known_of(query.payload or b"")
        operation = _KEY_OPERATIONS.get(query.name)
        if operation is None:
            if query.name != PING:
                self._env.count("internal_queries_unknown")
            return None
        if operation is KeyOperation.LIST:
            return self._listed(self._keyring.operate(operation), fits)
        try:
            key = decode_key_request(query.payload or b"").key or b""
        except PeerProtocolError as error:
            return KeyResponse(False, f"the key request cannot be read: {error}").encode()
        response = self._keyring.operate(operation, key)
        if response.result:
            self._env.count(f"keyring_{operation}")
        return response.encode()

    def _what_is_known_of(self, payload: bytes) -> bytes | None:
        """Of our own name others have to speak: whoever claims it, too, must not be the judge."""
        name = payload.decode(errors="replace")
        return None if name == self._own_name else encode_conflict_response(self._roster.get(name))

    def _listed(self, response: KeyResponse, fits: Callable[[bytes], bool]) -> bytes:
        """The whole list, or as much of it as an answer has room for, with a message that says so."""
        payload = response.encode()
        keys = response.keys or ()
        count = min(len(keys), self._env.settings.query_response_bytes_max // _ENCODED_KEY_BYTES_MIN)
        while not fits(payload) and count >= 0:
            message = f"truncated key list response, showing first {count} of {len(keys)} keys"
            payload = KeyResponse(response.result, message, keys[:count], response.primary_key).encode()
            count -= 1
        return payload
