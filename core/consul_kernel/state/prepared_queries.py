"""Prepared queries: their rows, what finds them, and what is asked of them."""

from __future__ import annotations

import re

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.prepared_query import PreparedQuery

from .keys import fold, pack
from .tables import KeySet, Reader, Table, Writer, bump_index, table_index
from .transaction import Transaction
from .uuids import require_uuid
from .watches import QUERY, TABLE

QUERIES = b"prepared-queries"

queries: Table[PreparedQuery] = Table("queries", PreparedQuery)
"""By (query id)."""
queries_by_name = KeySet("queries.name")
"""By (name) + key in `queries`."""
queries_by_session = KeySet("queries.session")
"""By (session id) + key in `queries`: what ends with a session."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class PreparedQueries:
    """Reads of prepared queries, of the last completed batch. All answer with the index of the last change to any."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @property
    def reader(self) -> Reader:
        """The tables."""
        return self._reader

    def get(self, query_id: str) -> tuple[int, PreparedQuery | None]:
        """One query. RequestError when the id cannot be one."""
        return self.index(), find_query(self._reader, query_id)

    def all(self) -> tuple[int, list[PreparedQuery]]:
        """All queries by id."""
        return self.index(), [query for _, query in queries.scan(self._reader)]

    def named(self, name: str) -> PreparedQuery | None:
        """The query of a name, without regard to case."""
        return find_named(self._reader, name)

    def index(self) -> int:
        """The index of the last change to any query."""
        return table_index(self._reader, QUERIES)


def is_id(text: str) -> bool:
    """Whether a text has the form of an id, so that it can name no query but that of this id."""
    return _UUID.fullmatch(text) is not None


def is_template(query: PreparedQuery) -> bool:
    """Whether a query stands for all names that begin with its own."""
    return bool(query.template.type)


def query_key(query_id: str) -> bytes:
    """Key of a prepared query."""
    return pack(fold(query_id))


def find_query(reader: Reader, query_id: str) -> PreparedQuery | None:
    """A query by id. RequestError with Consul's text when the id cannot be one."""
    require_uuid(query_id, "failed prepared query lookup")
    return queries.get(reader, query_key(query_id))


def find_named(reader: Reader, name: str) -> PreparedQuery | None:
    """A query by its name, which is not empty."""
    key = next(queries_by_name.scan(reader, pack(fold(name))), None)
    return None if key is None else queries.get(reader, key)


def require_acceptable(reader: Reader, query: PreparedQuery) -> None:
    """RequestError where a query would get into another one's way."""
    if query.name:
        other = find_named(reader, query.name)
        if other is not None and not _is_same(other, query):
            raise RequestError(f"name '{query.name}' aliases an existing query name")
    elif is_template(query):
        wild = (other for _, other in queries.scan(reader) if is_template(other) and not other.name)
        if any(not _is_same(other, query) for other in wild):
            raise RequestError("a query template with an empty name already exists")
    if is_id(query.name) and queries.get(reader, query_key(query.name)) is not None:
        raise RequestError(f"name '{query.name}' aliases an existing query ID")


def _is_same(one: PreparedQuery, other: PreparedQuery) -> bool:
    return fold(one.id) == fold(other.id)


def put_query(writer: Writer, query: PreparedQuery) -> None:
    """Add a prepared query with the rows that find it."""
    key = query_key(query.id)
    queries.put(writer, key, query)
    if query.name:
        queries_by_name.add(writer, pack(fold(query.name)) + key)
    if query.session:
        queries_by_session.add(writer, pack(fold(query.session)) + key)


def replace_query(transaction: Transaction, query: PreparedQuery) -> None:
    """Set a prepared query, in the place of the one with its id if there is one."""
    _remove_rows(transaction, query_key(query.id))
    put_query(transaction, query)
    _touch(transaction, query)


def delete_query(transaction: Transaction, key: bytes) -> None:
    """Remove a prepared query (its key in `queries`) with the rows that find it. Nothing happens when it is unknown."""
    query = _remove_rows(transaction, key)
    if query is not None:
        _touch(transaction, query)


def delete_queries_of_session(transaction: Transaction, session_id: str) -> None:
    """Remove the prepared queries that are bound to a session."""
    for key in list(queries_by_session.scan(transaction, pack(fold(session_id)))):
        delete_query(transaction, key)


def _remove_rows(transaction: Transaction, key: bytes) -> PreparedQuery | None:
    query = queries.get(transaction, key)
    if query is not None:
        queries.delete(transaction, key)
        queries_by_name.discard(transaction, pack(fold(query.name)) + key)
        queries_by_session.discard(transaction, pack(fold(query.session)) + key)
    return query


def _touch(transaction: Transaction, query: PreparedQuery) -> None:
    bump_index(transaction, QUERIES)
    transaction.touch(TABLE, QUERIES)
    transaction.touch(QUERY, fold(query.id))
