"""Writes to sessions, and all that ends one: being destroyed, or the end of its node or of a check that it depends on.

A session ends in the same command as what it depends on, and takes its locks, and the prepared queries that are bound
to it, with it. So nobody ever sees a key that is held by a session which is no more.
(Consul's documentation: "Sessions", "Session Design".)
"""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import CheckStatus
from consul_kernel.structs.session import Session, SessionBehavior, SessionOp, SessionRequest

from . import catalog_tables as rows
from .keys import fold
from .kv import delete_held, release_held
from .prepared_queries import delete_queries_of_session
from .sessions import (
    SESSIONS,
    checks_of,
    find_session,
    put_session,
    remove_session,
    session_key,
    sessions,
    sessions_by_check,
    sessions_by_node,
)
from .tables import bump_index
from .transaction import Transaction
from .watches import NODE_SESSIONS, SESSION, TABLE

MAX_LOCK_DELAY_NS = 60 * 1_000_000_000
"""What a session may ask for is stored as given, but has no more effect than this."""
MISSING_NODE = "Missing node registration"


def apply_session(transaction: Transaction, request: SessionRequest) -> str | None:
    """Carry out `Session.Apply`: the id of what was created. RequestError when it is refused."""
    if request.op == SessionOp.CREATE:
        _create(transaction, request.session)
        return request.session.id
    if request.op == SessionOp.DESTROY:
        destroy_session(transaction, request.session.id)
        return None
    raise RequestError(f"Invalid session operation '{request.op}'")


def _create(transaction: Transaction, session: Session) -> None:
    if not session.id:
        raise RequestError("Missing session ID")
    session.behavior = session.behavior or SessionBehavior.RELEASE.value
    if session.behavior not in tuple(SessionBehavior):
        raise RequestError(f"Invalid session behavior: {session.behavior}")
    if find_session(transaction, session.id) is not None:
        raise RequestError(f"session {session.id} exists")
    if rows.nodes.get(transaction, rows.node_key(session.node)) is None:
        raise RequestError(MISSING_NODE)
    for check_id in checks_of(session):
        check = rows.checks.get(transaction, rows.check_key(session.node, check_id))
        if check is None:
            raise RequestError(f"Missing check '{check_id}' registration")
        if check.status == CheckStatus.CRITICAL:
            raise RequestError(f"Check '{check_id}' is in {check.status} state")
    session.create_index = session.modify_index = transaction.index
    put_session(transaction, session)
    _touch(transaction, session)


def destroy_session(transaction: Transaction, session_id: str) -> None:
    """End a session. Nothing happens when it is unknown. RequestError when the id cannot be one."""
    session = find_session(transaction, session_id)
    if session is not None:
        _end(transaction, session)


def end_sessions_of_check(transaction: Transaction, check: bytes) -> None:
    """End the sessions that depend on a check (its key in `checks`), which is critical or no more."""
    _end_all(transaction, list(sessions_by_check.scan(transaction, check)))


def end_sessions_of_node(transaction: Transaction, node: bytes) -> None:
    """End the sessions of a node (its key in `nodes`), which is no more."""
    _end_all(transaction, list(sessions_by_node.scan(transaction, node)))


def _end_all(transaction: Transaction, keys: list[bytes]) -> None:
    for key in keys:
        session = sessions.get(transaction, key)
        if session is not None:
            _end(transaction, session)


def _end(transaction: Transaction, session: Session) -> None:
    remove_session(transaction, session_key(session.id), session)
    _touch(transaction, session)
    let_go = delete_held if session.behavior == SessionBehavior.DELETE else release_held
    keys = let_go(transaction, session.id)
    delay_ns = min(session.lock_delay, MAX_LOCK_DELAY_NS)
    if delay_ns > 0:
        transaction.lock_delays += [(key, delay_ns) for key in keys]
    delete_queries_of_session(transaction, session.id)


def _touch(transaction: Transaction, session: Session) -> None:
    bump_index(transaction, SESSIONS)
    transaction.touch(TABLE, SESSIONS)
    transaction.touch(SESSION, fold(session.id))
    transaction.touch(NODE_SESSIONS, fold(session.node))
