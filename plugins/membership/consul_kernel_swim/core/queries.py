"""Queries: questions that spread like user events, and whose answers come straight back to the asker.

    asker                 gossip                others
    ask ── Query ──────────────────────────────> Responder
     ^────────── QueryResponse, one packet each ────┘

A question is over when everybody who is expected to answer has done so, at the latest when its time is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from consul_kernel.contracts.membership_capabilities import QueryOutcome

from .courier import Courier
from .environment import Environment
from .lamport import LamportClock
from .messages import USER_BYTE
from .query_filters import Filters, read_filters
from .query_messages import RELAY_FACTOR_MAX, Query, QueryResponse
from .recent import RecentRing
from .responder import Responder
from .roster import Roster
from .serf_types import QUERY_FLAG_ACK, QUERY_FLAG_NO_BROADCAST
from .timers import Timer

QUERIES_MAX: Final = 256
"""Questions of this agent under way at once; further ones are refused."""
_TIMEOUT_MULT: Final = 16
_ANSWERS_MIN: Final = 64
_NS_PER_MS: Final = 1_000_000
_EXPIRY_MS_MAX: Final = 60_000

OnOutcome = Callable[[QueryOutcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask. `filters` are in wire form, `timeout_ms` 0 is the pool's own.

    `wants_answers` False: nobody answers, so that acknowledgements alone end it early.
    """

    name: str
    payload: bytes | None = None
    filters: tuple[bytes, ...] = ()
    timeout_ms: int = 0
    relay_factor: int = 0
    wants_acks: bool = False
    wants_answers: bool = True


class _Pending:
    """One question under way: who acknowledged and who answered, in the order of arrival."""

    def __init__(self, question: Question, expected: frozenset[str], answers_max: int, on_done: OnOutcome) -> None:
        self.question = question
        self.expected = expected
        self.on_done = on_done
        self.timer: Timer | None = None
        self.acks: dict[str, None] = {}
        self.responses: dict[str, bytes] = {}
        self._answers_max = answers_max

    def take(self, response: QueryResponse) -> str | None:
        """Keep a response; the counter of what was wrong with it, or None."""
        if response.flags & QUERY_FLAG_ACK:
            if response.sender in self.acks:
                return "query_responses_repeated"
            if len(self.acks) >= self._answers_max:
                return "query_responses_over_limit"
            self.acks[response.sender] = None
        else:
            if response.sender in self.responses:
                return "query_responses_repeated"
            if len(self.responses) >= self._answers_max:
                return "query_responses_over_limit"
            self.responses[response.sender] = response.payload or b""
        return None

    def is_complete(self) -> bool:
        """Whether nothing more is to be waited for. Where nobody is known who could answer, somebody unknown might."""
        if not self.expected:
            return False
        question = self.question
        acked = not question.wants_acks or self.expected <= self.acks.keys()
        answered = not question.wants_answers or self.expected <= self.responses.keys()
        return acked and answered and (question.wants_acks or question.wants_answers)

    def outcome(self) -> QueryOutcome:
        return QueryOutcome(acks=tuple(self.acks), responses=dict(self.responses))


class Queries:
    """The query clock, what was asked lately, and this agent's own questions by Lamport time and id."""

    def __init__(self, env: Environment, own_name: str, courier: Courier, roster: Roster, responder: Responder) -> None:
        self._env = env
        self._own_name = own_name
        self._courier = courier
        self._roster = roster
        self._responder = responder
        responder.deliver = self.take_response
        self.clock = LamportClock()
        self.queue = courier.add_queue(lambda: len(roster))
        self._recent: RecentRing[int] = RecentRing()
        self._pending: dict[tuple[int, int], _Pending] = {}

    def resume(self, last_seen: int) -> None:
        """Go on after an earlier life: what was asked up to this time is no news."""
        self.clock.witness(last_seen)
        self._recent.minimum_time = last_seen + 1 if last_seen else 0

    # --- asking ---

    def ask(self, question: Question, on_done: OnOutcome) -> str | None:
        """Ask; the reason when that is impossible, else None, and `on_done` is called once, maybe at once."""
        own = self._roster.get(self._own_name)
        if own is None:
            return "the membership has not been started"
        if not 0 <= question.relay_factor <= RELAY_FACTOR_MAX:
            return f"a relay factor is a number from 0 to {RELAY_FACTOR_MAX}, not {question.relay_factor}"
        if len(self._pending) >= QUERIES_MAX:
            self._env.count("queries_over_limit")
            return f"{QUERIES_MAX} queries are under way"
        expected = self._expected(read_filters(question.filters))
        timeout_ms = question.timeout_ms or self.default_timeout_ms()
        query = Query(
            lamport_time=self.clock.time,
            query_id=self._env.rng.getrandbits(31),
            name=question.name,
            payload=question.payload,
            reply_to=own.address,
            source=self._own_name,
            filters=question.filters,
            flags=QUERY_FLAG_ACK if question.wants_acks else 0,
            relay_factor=question.relay_factor,
            timeout_ns=timeout_ms * _NS_PER_MS,
        )
        message = query.encode()
        limit = self._env.settings.query_bytes_max
        if len(message) > limit or not self._courier.fits(USER_BYTE + message):
            return f"query exceeds limit of {limit} bytes"
        key = query.lamport_time, query.query_id
        pending = _Pending(question, expected, max(_ANSWERS_MIN, 2 * len(self._roster)), on_done)
        pending.timer = self._env.after(timeout_ms, lambda: self._finish(key))
        self._pending[key] = pending
        if self._roster.others_alive():
            self._spread(query, message)
        self.receive(query)
        return None

    def default_timeout_ms(self) -> int:
        """Serf's: what a message needs to reach everybody, with room to answer."""
        alive = len(self._roster.alive())
        return self._env.settings.gossip_interval_ms * _TIMEOUT_MULT * math.ceil(math.log10(alive + 1))

    def _expected(self, filters: Filters) -> frozenset[str]:
        """Who is alive and fits, as seen from here."""
        alive = self._roster.alive()
        return frozenset(member.name for member in alive if filters.fit(member.name, member.tags))

    def _spread(self, query: Query, message: bytes) -> None:
        """Gossip a query while it can still be answered: nobody may act on an old one that lay in a queue."""
        expiry_ms = min(max(0, query.timeout_ns // _NS_PER_MS), _EXPIRY_MS_MAX)
        self._courier.broadcast(self.queue, USER_BYTE + message, expires_ms=self._env.now_ms + expiry_ms)

    # --- what others ask ---

    def receive_message(self, query: Query, message: bytes) -> None:
        """Handle a query from the wire and pass it on, as the identical bytes, when it is news."""
        if self.receive(query) and not query.flags & QUERY_FLAG_NO_BROADCAST:
            self._spread(query, message)

    def receive(self, query: Query) -> bool:
        """Answer a query that is for us; whether it is news."""
        self.clock.witness(query.lamport_time)
        if not self._recent.admit(query.lamport_time, self.clock.time, query.query_id):
            return False
        self._responder.respond(query)
        return True

    # --- what comes back ---

    def take_response(self, response: QueryResponse) -> None:
        """An acknowledgement or an answer, from whoever it is: the first of each member counts."""
        key = response.lamport_time, response.query_id
        pending = self._pending.get(key)
        if pending is None:
            self._env.count("query_responses_late")
            return
        if len(response.payload or b"") > self._env.settings.query_response_bytes_max:
            self._env.count("query_responses_too_large")
            return
        fault = pending.take(response)
        if fault is not None:
            self._env.count(fault)
        elif pending.is_complete():
            self._finish(key)

    def _finish(self, key: tuple[int, int]) -> None:
        pending = self._pending.pop(key)
        if pending.timer is not None:
            pending.timer.cancel()
        pending.on_done(pending.outcome())
