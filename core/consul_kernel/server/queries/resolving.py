"""Which query is meant by an id or a name."""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
from consul_kernel.state.keys import fold
from consul_kernel.state.prepared_queries import PreparedQueries, find_query, is_id, is_template
from consul_kernel.structs.prepared_query import PreparedQuery
from consul_kernel.structs.query import QuerySource

from .template import CompiledTemplate

MISSING_ID = "Missing Query ID"
MAX_RENDERED = 1024
"""Names whose query is kept; when there are more, all are forgotten."""
ONLY_BY_NAME = "prepared query templates can only be resolved up by name, not by ID"


class Resolver:
    """Finds queries. What it keeps are the templates as of the last change to any query, each compiled when it is used,

    and what they were rendered to. They are told by the index of that change and by the state that it was in, since
    another state may have the same.
    """

    def __init__(self, queries: PreparedQueries) -> None:
        self._queries = queries
        self._version: tuple[object, int] | None = None
        self._by_prefix: dict[bytes, PreparedQuery] = {}
        self._lengths: list[int] = []
        self._compiled: dict[bytes, CompiledTemplate] = {}
        self._rendered: dict[tuple[str, str], PreparedQuery] = {}

    def resolve(self, id_or_name: str, agent: QuerySource, *, epoch: int) -> PreparedQuery | None:
        """The query that is to be carried out, rendered if it is a template. RequestError with Consul's text.

        `epoch` tells states apart that replaced each other (`Watches.epoch`).
        """
        if not id_or_name:
            raise RequestError(MISSING_ID)
        if is_id(id_or_name):
            query = find_query(self._queries.reader, id_or_name)
            if query is not None:
                if is_template(query):
                    raise RequestError(ONLY_BY_NAME)
                return query
        query = self._queries.named(id_or_name)
        if query is not None and not is_template(query):
            return query
        self._refresh(epoch)
        rendered = self._rendered.get((id_or_name, agent.segment))
        if rendered is not None:
            return rendered
        prefix = fold(query.name) if query is not None else self._longest_prefix(fold(id_or_name))
        return None if prefix is None else self._render(prefix, id_or_name, agent)

    def _render(self, prefix: bytes, name: str, agent: QuerySource) -> PreparedQuery:
        rendered = self._template(prefix).render(name, agent)
        if len(self._rendered) >= MAX_RENDERED:
            self._rendered.clear()
        self._rendered[name, agent.segment] = rendered
        return rendered

    def _refresh(self, epoch: int) -> None:
        version = (epoch, self._queries.index())
        if version == self._version:
            return
        templates = [query for query in self._queries.all()[1] if is_template(query)]
        self._by_prefix = {fold(query.name): query for query in templates}
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix}, reverse=True)
        self._compiled.clear()
        self._rendered.clear()
        self._version = version

    def _longest_prefix(self, name: bytes) -> bytes | None:
        return next((name[:length] for length in self._lengths if name[:length] in self._by_prefix), None)

    def _template(self, prefix: bytes) -> CompiledTemplate:
        template = self._compiled.get(prefix)
        if template is None:
            template = self._compiled[prefix] = CompiledTemplate(self._by_prefix[prefix])
        return template
