"""The application's functions, guarded: a fault in one is logged, and answered in the safest way."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from consul_kernel.contracts.membership import GossipEvent, Member, MembershipContext
from consul_kernel.contracts.membership_capabilities import IncomingQuery

logger = logging.getLogger("consul_kernel.swim")


class Callbacks:
    """What the core and the driver may call in the middle of a step: it never raises."""

    def __init__(self, context: MembershipContext) -> None:
        self._context = context

    def tell(self, event: GossipEvent) -> None:
        """Something has happened in the pool."""
        try:
            self._context.on_event(event)
        except Exception:
            logger.exception("pool %s: on_event failed for %s", self._context.pool, type(event).__name__)

    def accept(self, member: Member) -> str | None:
        """The application's veto; a fault in it refuses the member, since nobody can say that it belongs here."""
        if self._context.accept is None:
            return None
        try:
            return self._context.accept(member)
        except Exception:
            logger.exception("pool %s: accept failed for %s", self._context.pool, member.name)
            return f"Member '{member.name}' could not be checked"

    def accept_list(self, members: Sequence[Member]) -> str | None:
        """The application's veto against all that a peer sends in a join; a fault in it refuses them."""
        if self._context.accept_list is None:
            return None
        try:
            return self._context.accept_list(members)
        except Exception:
            logger.exception("pool %s: accept_list failed", self._context.pool)
            return "the members that the peer sent could not be checked"

    def answer_query(self, query: IncomingQuery) -> bytes | None:
        """The application's answer; a fault in it is silence."""
        if self._context.answer_query is None:
            return None
        try:
            return self._context.answer_query(query)
        except Exception:
            logger.exception("pool %s: answer_query failed for %r", self._context.pool, query.name)
            return None

    def reconnect_timeout_of(self, member: Member) -> int | None:
        """Another time for a member, in ms; a fault leaves it the pool's."""
        if self._context.reconnect_timeout_of is None:
            return None
        try:
            return self._context.reconnect_timeout_of(member)
        except Exception:
            logger.exception("pool %s: reconnect_timeout_of failed for %s", self._context.pool, member.name)
            return None
