"""A pool for tests of keyring operations: rings by member, and outcomes as Serf counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.errors import CipherError, MembershipError
from consul_kernel.contracts.membership_capabilities import KeyOperation, KeyringOutcome

KEY = bytes(range(16))


class KeyedPool:
    """Capability `keyring` without a network. A ring of None stands for a member without encryption."""

    def __init__(self, rings: Mapping[str, Cipher | None], silent: frozenset[str] = frozenset()) -> None:
        self.rings = rings
        self.silent = silent
        self.error: MembershipError | None = None
        self.asked: list[tuple[KeyOperation, bytes, int]] = []

    async def operate_keyring(
        self, operation: KeyOperation, key: bytes = b"", *, relay_factor: int = 0
    ) -> KeyringOutcome:
        self.asked.append((operation, key, relay_factor))
        if self.error is not None:
            raise self.error
        messages: dict[str, str] = {}
        keys: Counter[bytes] = Counter()
        primary_keys: Counter[bytes] = Counter()
        for name, ring in self.rings.items():
            if name in self.silent:
                continue
            if ring is None:
                messages[name] = (
                    "Keyring is empty (encryption not enabled)"
                    if operation is KeyOperation.LIST
                    else "No keyring to modify (encryption not enabled)"
                )
                continue
            try:
                _apply(ring, operation, key)
            except CipherError as refusal:
                messages[name] = str(refusal)
            if operation is KeyOperation.LIST:
                keys.update(ring.keys())
                primary_keys.update(ring.keys()[:1])
        members, responses = len(self.rings), len(self.rings) - len(self.silent)
        error = ""
        if messages:
            error = f"{len(messages)}/{members} nodes reported failure"
        elif responses < members:
            error = f"{responses}/{members} nodes reported success"
        return KeyringOutcome(
            members=members,
            responses=responses,
            failures=len(messages),
            messages=messages,
            keys=keys,
            primary_keys=primary_keys,
            error=error,
        )


def _apply(ring: Cipher, operation: KeyOperation, key: bytes) -> None:
    actions: Mapping[KeyOperation, Callable[[bytes], None]] = {
        KeyOperation.INSTALL: ring.install,
        KeyOperation.USE: ring.use,
        KeyOperation.REMOVE: ring.remove,
    }
    if operation in actions:
        actions[operation](key)
