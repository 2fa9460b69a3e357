"""Operations on every ring of the pool: an internal query, and the count of what its answers say.

`use` and `remove` look first. A key that one member seals with and another cannot open cuts the two off from each
other, so nobody is asked to use a key that a member says it lacks, nor to remove one that a member says it seals
with. Serf itself lets those who can go ahead; the outcome has its texts in either case. A removal also waits
for a probe interval, so that packets which the key has sealed may still arrive: later than that they count as
lost anyway.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Callable, Sequence

from consul_kernel.contracts.cipher import KEY_IS_PRIMARY, KEY_NOT_INSTALLED
from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership_capabilities import KeyOperation, KeyringOutcome, QueryOutcome

from .environment import Environment
from .internal_messages import KeyRequest, KeyResponse, decode_key_response
from .internal_queries import KEY_QUERIES
from .queries import Queries, Question
from .roster import Roster

NO_ANSWER = "no answer"

OnKeyringOutcome = Callable[[KeyringOutcome], None]
OnError = Callable[[str], None]


class KeyringOperations:
    """Starts operations and reports their outcomes."""

    def __init__(self, env: Environment, queries: Queries, roster: Roster) -> None:
        self._env = env
        self._queries = queries
        self._roster = roster

    def start(
        self, operation: KeyOperation, key: bytes, relay_factor: int, on_done: OnKeyringOutcome, on_error: OnError
    ) -> None:
        """Carry an operation out on everybody alive; exactly one of the two is called, maybe at once."""

        def carry_out() -> None:
            self._ask(operation, key, relay_factor, lambda tally: on_done(tally.outcome()), on_error)

        def look(listed: Tally) -> None:
            if listed.objects_to(operation, key):
                on_done(listed.outcome())
            elif operation is KeyOperation.REMOVE:
                self._env.after(self._env.settings.probe_interval_ms, carry_out)
            else:
                carry_out()

        if operation in (KeyOperation.USE, KeyOperation.REMOVE):
            self._ask(KeyOperation.LIST, b"", relay_factor, look, on_error)
        else:
            carry_out()

    def _ask(
        self,
        operation: KeyOperation,
        key: bytes,
        relay_factor: int,
        on_tally: Callable[[Tally], None],
        on_error: OnError,
    ) -> None:
        alive = [member.name for member in self._roster.alive()]
        question = Question(name=KEY_QUERIES[operation], payload=KeyRequest(key).encode(), relay_factor=relay_factor)
        error = self._queries.ask(question, lambda outcome: on_tally(Tally(alive, outcome)))
        if error is not None:
            on_error(error)


class Tally:
    """What the members answered, counted. `alive` are those that were alive when they were asked."""

    def __init__(self, alive: Sequence[str], outcome: QueryOutcome) -> None:
        self._members = len(alive)
        self._responses = len(outcome.responses)
        self._messages = {name: NO_ANSWER for name in alive if name not in outcome.responses}
        self._failed: set[str] = set()
        self._rings: dict[str, KeyResponse] = {}
        self._keys: Counter[bytes] = Counter()
        self._primary_keys: Counter[bytes] = Counter()
        for name, payload in outcome.responses.items():
            self._count(name, payload)

    def _count(self, name: str, payload: bytes) -> None:
        try:
            response = decode_key_response(payload)
            keys = [_decode_key(key) for key in response.keys or ()]
            primary_key = _decode_key(response.primary_key)
        except PeerProtocolError as error:
            self._fail(name, f"Failed to decode key query response: {error}")
            return
        if not response.result:
            self._fail(name, response.message)
            return
        if response.message:
            self._messages[name] = response.message
        self._keys.update(keys)
        if primary_key:
            self._primary_keys[primary_key] += 1
        self._rings[name] = response

    def _fail(self, name: str, message: str) -> None:
        self._failed.add(name)
        self._messages[name] = message

    def objects_to(self, operation: KeyOperation, key: bytes) -> bool:
        """After a request to list: whether the operation would fail for somebody, so that nobody may carry it out.

        Who gives no answer, or a truncated list, gives no reason either.
        """
        wanted = base64.b64encode(key).decode()
        objections = {}
        for name, ring in self._rings.items():
            if operation is KeyOperation.REMOVE and wanted == ring.primary_key:
                objections[name] = KEY_IS_PRIMARY
            elif operation is KeyOperation.USE and wanted not in (ring.keys or ()) and not ring.message:
                objections[name] = KEY_NOT_INSTALLED
        for name, message in objections.items():
            self._fail(name, message)
        return bool(objections)

    def outcome(self) -> KeyringOutcome:
        failures, members = len(self._failed), self._members
        error = ""
        if failures:
            error = f"{failures}/{members} nodes reported failure"
        elif self._responses < members:
            error = f"{self._responses}/{members} nodes reported success"
        return KeyringOutcome(
            members=members,
            responses=self._responses,
            failures=failures,
            messages=dict(self._messages),
            keys=dict(self._keys),
            primary_keys=dict(self._primary_keys),
            error=error,
        )


def _decode_key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PeerProtocolError("a key that is not base64") from error
