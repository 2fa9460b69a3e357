"""Sessions: their rows, what finds them, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator

from consul_kernel.structs.session import Session

from .keys import fold, pack
from .tables import KeySet, Reader, Table, Writer, table_index
from .transaction import Transaction
from .uuids import require_uuid

SESSIONS = b"sessions"

sessions: Table[Session] = Table("sessions", Session)
"""By (session id)."""
sessions_by_node = KeySet("sessions.node")
"""By (node) + key in `sessions`."""
sessions_by_check = KeySet("sessions.check")
"""By (node, check id) + key in `sessions`: whom a check ends when it turns critical."""


class Sessions:
    """Reads of sessions, of the last completed batch. All answer with the index of the last change to any of them."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def get(self, session_id: str) -> tuple[int, Session | None]:
        """One session. RequestError when the id cannot be one."""
        return self._index(), find_session(self._reader, session_id)

    def all(self) -> tuple[int, list[Session]]:
        """All sessions by id."""
        return self._index(), [session for _, session in sessions.scan(self._reader)]

    def of_node(self, node: str) -> tuple[int, list[Session]]:
        """The sessions of a node by id."""
        keys = sessions_by_node.scan(self._reader, pack(fold(node)))
        return self._index(), [session for key in keys if (session := sessions.get(self._reader, key)) is not None]

    def _index(self) -> int:
        return table_index(self._reader, SESSIONS)


def session_key(session_id: str) -> bytes:
    """Key of a session."""
    return pack(fold(session_id))


def find_session(reader: Reader, session_id: str) -> Session | None:
    """A session by id. RequestError with Consul's text when the id cannot be one."""
    require_uuid(session_id, "failed session lookup")
    return sessions.get(reader, session_key(session_id))


def put_session(writer: Writer, session: Session) -> None:
    """Add a session with the rows that find it."""
    key = session_key(session.id)
    sessions.put(writer, key, session)
    for index, row in _index_rows(key, session):
        index.add(writer, row)


def remove_session(transaction: Transaction, key: bytes, session: Session) -> None:
    """Remove a session with the rows that find it."""
    sessions.delete(transaction, key)
    for index, row in _index_rows(key, session):
        index.discard(transaction, row)


def _index_rows(key: bytes, session: Session) -> Iterator[tuple[KeySet, bytes]]:
    """Where a session stands by node and by check."""
    node = fold(session.node)
    yield sessions_by_node, pack(node) + key
    for check_id in checks_of(session):
        yield sessions_by_check, pack(node, fold(check_id)) + key


def checks_of(session: Session) -> list[str]:
    """The ids of the checks that a session depends on."""
    of_services = [check.id for check in session.service_checks or ()]
    return [*(session.checks or ()), *(session.node_checks or ()), *of_services]
