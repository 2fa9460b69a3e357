"""Writes to prepared queries. (Consul: `agent/consul/state/prepared_query.go`.)

Templates are not looked into here, but by whoever proposes the command: what is a good template may be another thing to
the next version, and to the state machine all versions have to be one.
"""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.prepared_query import PreparedQuery, PreparedQueryOp, PreparedQueryRequest

from .prepared_queries import delete_query, find_query, query_key, replace_query, require_acceptable
from .sessions import session_key, sessions
from .tables import Reader
from .transaction import Transaction
from .uuids import require_uuid


def apply_query(transaction: Transaction, request: PreparedQueryRequest) -> None:
    """Carry out `PreparedQuery.Apply`. RequestError when it is refused."""
    query = request.query
    if request.op in (PreparedQueryOp.CREATE, PreparedQueryOp.UPDATE):
        _set(transaction, query)
    elif request.op == PreparedQueryOp.DELETE:
        if find_query(transaction, query.id) is not None:
            delete_query(transaction, query_key(query.id))
    else:
        raise RequestError(f"Invalid PreparedQuery operation '{request.op}'")


def _set(transaction: Transaction, query: PreparedQuery) -> None:
    if not query.id:
        raise RequestError("Missing Query ID")
    known = find_query(transaction, query.id)
    require_well_placed(transaction, query)
    query.create_index = known.create_index if known is not None else transaction.index
    query.modify_index = transaction.index
    replace_query(transaction, query)


def require_well_placed(reader: Reader, query: PreparedQuery) -> None:
    """RequestError where a query would get into another one's way, or is bound to a session that is none."""
    require_acceptable(reader, query)
    if query.session:
        require_uuid(query.session, "invalid session")
        if sessions.get(reader, session_key(query.session)) is None:
            raise RequestError("invalid session")
