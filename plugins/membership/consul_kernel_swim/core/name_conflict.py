"""Two agents of one name: the others say which of them they know, and the one in the minority gives up (Serf)."""

from __future__ import annotations

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership import Member
from consul_kernel.contracts.membership_capabilities import QueryOutcome

from .environment import Environment
from .events import GiveUp
from .internal_messages import decode_conflict_response
from .internal_queries import CONFLICT
from .queries import Queries, Question
from .roster import Roster


class NameConflict:
    """Asks at most one question at a time, and only where that is switched on."""

    def __init__(self, env: Environment, own_name: str, queries: Queries, roster: Roster) -> None:
        self._env = env
        self._own_name = own_name
        self._queries = queries
        self._roster = roster
        self._is_asking = False

    def claimed(self) -> None:
        """Somebody at another address says that it has our name."""
        if not self._env.settings.resolve_name_conflicts or self._is_asking:
            return
        question = Question(name=CONFLICT, payload=self._own_name.encode())
        self._is_asking = True  # before the question, which may be over at once
        if self._queries.ask(question, self._decide) is not None:
            self._is_asking = False

    def _decide(self, outcome: QueryOutcome) -> None:
        self._is_asking = False
        own = self._roster.get(self._own_name)
        known = [member for member in map(_read, outcome.responses.values()) if not isinstance(member, str)]
        ours = sum(member is not None and own is not None and member.address == own.address for member in known)
        if ours >= len(known) // 2 + 1:
            self._env.warn(f"{ours} of {len(known)} members know this agent as {self._own_name!r}: it stays")
            return
        self._env.effects.append(
            GiveUp(f"another agent is named {self._own_name!r}: {ours} of {len(known)} members know this one by it")
        )


def _read(payload: bytes) -> Member | str | None:
    """The member that an answer tells of, None for nobody; a text for an answer that cannot be read."""
    try:
        return decode_conflict_response(payload)
    except PeerProtocolError as error:
        return str(error)
