"""Prepared queries: their rows, and what finds them."""

from __future__ import annotations

from consul_kernel.structs.prepared_query import PreparedQuery

from .keys import fold, pack
from .tables import KeySet, Table, Writer, bump_index
from .transaction import Transaction

QUERIES = b"prepared-queries"

queries: Table[PreparedQuery] = Table("queries", PreparedQuery)
"""By (query id)."""
queries_by_name = KeySet("queries.name")
"""By (name) + key in `queries`."""
queries_by_session = KeySet("queries.session")
"""By (session id) + key in `queries`: what ends with a session."""


def query_key(query_id: str) -> bytes:
    """Key of a prepared query."""
    return pack(fold(query_id))


def put_query(writer: Writer, query: PreparedQuery) -> None:
    """Add a prepared query with the rows that find it."""
    key = query_key(query.id)
    queries.put(writer, key, query)
    if query.name:
        queries_by_name.add(writer, pack(fold(query.name)) + key)
    if query.session:
        queries_by_session.add(writer, pack(fold(query.session)) + key)


def delete_query(transaction: Transaction, key: bytes) -> None:
    """Remove a prepared query (its key in `queries`) with the rows that find it. Nothing happens when it is unknown."""
    query = queries.get(transaction, key)
    if query is None:
        return
    queries.delete(transaction, key)
    queries_by_name.discard(transaction, pack(fold(query.name)) + key)
    queries_by_session.discard(transaction, pack(fold(query.session)) + key)
    bump_index(transaction, QUERIES)


def delete_queries_of_session(transaction: Transaction, session_id: str) -> None:
    """Remove the prepared queries that are bound to a session."""
    for key in list(queries_by_session.scan(transaction, pack(fold(session_id)))):
        delete_query(transaction, key)
