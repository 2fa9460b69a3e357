"""The body of `session/create`: what Consul makes of it, field by field.

Unknown fields are ignored, unlike in most bodies, and names are only those of Go, without regard to case. What is left
out, or null, has a default: a session of the agent's node that depends on the agent's being alive.
(Consul: agent/session_endpoint.go, Session.UnmarshalJSON of agent/structs.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import SERF_HEALTH_CHECK_ID
from consul_kernel.structs.decoding import decode_record
from consul_kernel.structs.duration import DurationError, parse_duration_ns
from consul_kernel.structs.go_json import decode_json
from consul_kernel.structs.session import Session, SessionBehavior

_SECOND_NS = 1_000_000_000
DEFAULT_LOCK_DELAY_NS = 15 * _SECOND_NS
LEAST_NANOSECONDS = 1000
"""A smaller lock delay is in seconds."""

_FIELDS = frozenset({"id", "name", "node", "behavior", "ttl", "nodechecks", "servicechecks", "checks"})
_SERVICE_CHECK_FIELDS = frozenset({"id", "namespace"})
_LOCK_DELAY = "lockdelay"


def read_session(body: bytes, node: str) -> Session:
    """The session that a body asks for, for an agent on `node`. RequestError with Go's text."""
    given: dict[str, Any] = {}
    if body:
        value = decode_json(body)
        if isinstance(value, Mapping):
            given = {key.lower(): item for key, item in value.items()}
        elif value is not None:
            decode_record(Session, body)  # which it is not, and says so
    fields = {key: item for key, item in given.items() if key in _FIELDS}
    if isinstance(service_checks := fields.get("servicechecks"), list):
        fields["servicechecks"] = [_service_check(check) for check in service_checks]
    fields = {"nodechecks": [SERF_HEALTH_CHECK_ID], "checks": [SERF_HEALTH_CHECK_ID], **fields}
    session = decode_record(Session, fields)
    session.id = ""
    session.node = session.node if given.get("node") is not None else node
    session.behavior = session.behavior or SessionBehavior.RELEASE.value
    delay = given.get(_LOCK_DELAY)
    session.lock_delay = DEFAULT_LOCK_DELAY_NS if delay is None else _lock_delay_ns(delay)
    _settle_checks(session)
    return session


def _service_check(check: Any) -> Any:
    """Without the fields that are unknown."""
    if not isinstance(check, Mapping):
        return check
    return {key: item for key, item in check.items() if key.lower() in _SERVICE_CHECK_FIELDS}


def _lock_delay_ns(value: Any) -> int:
    """A duration as text, or a number of nanoseconds or (if small) seconds; anything else is none."""
    delay_ns = 0
    if isinstance(value, str):
        try:
            delay_ns = parse_duration_ns(value)
        except DurationError as error:
            raise RequestError(str(error)) from None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        delay_ns = int(value)
    if delay_ns < LEAST_NANOSECONDS:
        delay_ns *= _SECOND_NS
    return min(max(delay_ns, -(1 << 63)), (1 << 63) - 1)


def _settle_checks(session: Session) -> None:
    """`checks` is what `node_checks` was called before Consul 1.7. An empty one of either means: no checks."""
    if not session.checks:
        session.node_checks = []
    elif session.checks == [SERF_HEALTH_CHECK_ID] or not session.node_checks:
        session.checks = None
