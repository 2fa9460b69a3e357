"""Answering queries: acknowledge, answer, and send both through others as well when the asker wants that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership_capabilities import AnswerQuery, IncomingQuery
from consul_kernel.contracts.transport import Address

from .courier import Courier
from .environment import Environment
from .internal_queries import INTERNAL_PREFIX, InternalQueries
from .messages import USER_BYTE
from .query_filters import read_filters
from .query_messages import Query, QueryResponse, Relay
from .roster import Roster
from .serf_types import QUERY_FLAG_ACK

_RELAY_FROM_PROTOCOL: Final = 5


class Responder:
    """Responds to each query that it is given; `deliver` takes what goes to this agent itself."""

    def __init__(
        self,
        env: Environment,
        own_name: str,
        courier: Courier,
        roster: Roster,
        internal: InternalQueries,
        answer: AnswerQuery | None,
    ) -> None:
        self._env = env
        self._own_name = own_name
        self._courier = courier
        self._roster = roster
        self._internal = internal
        self._answer = answer
        self.deliver: Callable[[QueryResponse], None] = lambda response: None

    def respond(self, query: Query) -> None:
        """Acknowledge and answer a query if it is for us."""
        if query.reply_to is None or not self._is_asked(query):
            return
        if query.flags & QUERY_FLAG_ACK:
            self._send(query, query.reply_to, self._response(query, QUERY_FLAG_ACK, None))
        if query.timeout_ns <= 0:
            return
        payload = self._payload(query)
        if payload is None:
            return
        response = self._response(query, 0, payload)
        if not self._fits(response):
            limit = self._env.settings.query_response_bytes_max
            self._env.count("query_answers_too_large")
            self._env.warn(f"the answer to query {query.name!r} exceeds the limit of {limit} bytes and is not sent")
            return
        self._send(query, query.reply_to, response)

    def _is_asked(self, query: Query) -> bool:
        if not query.filters:
            return True
        own = self._roster.get(self._own_name)
        try:
            return own is not None and read_filters(query.filters).fit(own.name, own.tags)
        except PeerProtocolError:
            self._env.count("query_filters_unreadable")
            return False

    def _payload(self, query: Query) -> bytes | None:
        if query.name.startswith(INTERNAL_PREFIX):
            return self._internal.answer(query, lambda payload: self._fits(self._response(query, 0, payload)))
        if self._answer is None:
            return None
        return self._answer(
            IncomingQuery(
                name=query.name, payload=query.payload or b"", source=query.source, lamport_time=query.lamport_time
            )
        )

    def _response(self, query: Query, flags: int, payload: bytes | None) -> QueryResponse:
        return QueryResponse(query.lamport_time, query.query_id, self._own_name, flags, payload)

    def _fits(self, response: QueryResponse) -> bool:
        return len(response.encode()) <= self._env.settings.query_response_bytes_max

    # --- sending ---

    def _send(self, query: Query, to: Address, response: QueryResponse) -> None:
        own = self._roster.get(self._own_name)
        if own is not None and own.address == to:
            self.deliver(response)
            return
        message = response.encode()
        self._courier.send_plain(to, USER_BYTE + message)
        if query.relay_factor:
            self._relay(query.relay_factor, Relay(to, query.source, message))

    def _relay(self, helpers: int, relay: Relay) -> None:
        """Hand a response to random other members, which pass it on: it arrives although the direct way loses it."""
        if len(self._roster) < helpers + 1:
            return
        message = relay.encode()
        if len(message) > self._env.settings.query_response_bytes_max:
            self._env.count("query_relays_too_large")
            return
        able = [
            member.address
            for member in self._roster.alive()
            if member.protocol_max >= _RELAY_FROM_PROTOCOL
            and member.name != self._own_name
            and member.address != relay.target
        ]
        for address in self._env.rng.sample(able, min(helpers, len(able))):
            self._courier.send_plain(address, USER_BYTE + message)
