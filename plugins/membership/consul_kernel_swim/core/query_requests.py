"""From the application's request to a question."""

from __future__ import annotations

from typing import Final

from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership_capabilities import QueryRequest

from .internal_queries import INTERNAL_PREFIX, PING
from .queries import Question
from .query_filters import encode_filters

TIMEOUT_MS_MAX: Final = 3_600_000


def question_for(request: QueryRequest) -> Question:
    """What to ask. Raises MembershipError for what cannot be asked; what every question keeps to is checked later.

    Of Serf's own queries the application may ask `_serf_ping`, as `serf reachability` does.
    """
    is_ping = request.name == PING and not request.payload
    if request.name.startswith(INTERNAL_PREFIX) and not is_ping:
        raise MembershipError(f"Queries cannot contain the '{INTERNAL_PREFIX}' prefix")
    if not 0 <= request.timeout_ms <= TIMEOUT_MS_MAX:
        raise MembershipError(f"a query takes at most {TIMEOUT_MS_MAX} ms, not {request.timeout_ms}")
    return Question(
        name=request.name,
        payload=request.payload or None,
        filters=encode_filters(request.nodes, request.tags),
        timeout_ms=request.timeout_ms,
        relay_factor=request.relay_factor,
        wants_acks=request.request_ack,
        wants_answers=not is_ping,
    )
