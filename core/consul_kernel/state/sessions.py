"""Sessions: their rows, and what finds them."""

from __future__ import annotations

from consul_kernel.structs.session import Session

from .keys import fold, pack
from .tables import KeySet, Table, Writer

sessions: Table[Session] = Table("sessions", Session)
"""By (session id)."""
sessions_by_node = KeySet("sessions.node")
"""By (node) + key in `sessions`."""
sessions_by_check = KeySet("sessions.check")
"""By (node, check id) + key in `sessions`: whom a check ends when it turns critical."""


def session_key(session_id: str) -> bytes:
    """Key of a session."""
    return pack(fold(session_id))


def put_session(writer: Writer, session: Session) -> None:
    """Add a session with the rows that find it."""
    key, node = session_key(session.id), fold(session.node)
    sessions.put(writer, key, session)
    sessions_by_node.add(writer, pack(node) + key)
    for check_id in checks_of(session):
        sessions_by_check.add(writer, pack(node, fold(check_id)) + key)


def checks_of(session: Session) -> list[str]:
    """The ids of the checks that a session depends on."""
    of_services = [check.id for check in session.service_checks or ()]
    return [*(session.node_checks or ()), *of_services, *(session.checks or ())]
