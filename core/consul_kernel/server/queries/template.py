"""Templates: one query for all names that begin with its own (Consul: `agent/consul/prepared_query/template.go`)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from consul_kernel.contracts.errors import RequestError
from consul_kernel.filters import GroupRegexp, RegexpError
from consul_kernel.structs.prepared_query import NAME_PREFIX_MATCH, PreparedQuery, ServiceQuery
from consul_kernel.structs.query import QuerySource

from .evaluation import Scope, evaluate
from .expressions import ExpressionError, Output, parse

MAX_NAME = 1024
"""Characters of a name: longer ones are no names of anything."""
MAX_STEPS = 65_536
"""Steps of a regular expression over a name, some tenths of a second. DNS asks for no more than 253 characters."""

Change = Callable[[str, str], str]
"""Makes a text of a text and its place in the query."""


class CompiledTemplate:
    """A template, ready to be rendered. RequestError with Consul's text when it is none."""

    def __init__(self, query: PreparedQuery) -> None:
        if query.template.type != NAME_PREFIX_MATCH:
            raise RequestError(f"Bad Template.Type '{query.template.type}'")
        self.query = query
        self._trees: dict[str, Output] = {}
        _change_texts(query.service, self._parse)
        try:
            self._regexp = GroupRegexp(query.template.regexp) if query.template.regexp else None
        except RegexpError as error:
            raise RequestError(f"Bad Regexp: error parsing regexp: {error}") from error
        self.render(query.name, QuerySource())

    def _parse(self, text: str, place: str) -> str:
        try:
            self._trees[place] = parse(text)
        except ExpressionError as error:
            raise RequestError(f"Bad format '{text}' in Service{place}: {error}") from error
        return text

    def render(self, name: str, source: QuerySource) -> PreparedQuery:
        """The query for a name, for an agent. RequestError with Consul's text when there is none."""
        if len(name) > MAX_NAME or (self._regexp is not None and len(name) * self._regexp.size > MAX_STEPS):
            raise RequestError(f"a name of {len(name)} characters is too long for a query template")
        groups = self._regexp.find(name) if self._regexp is not None else []
        scope = Scope(
            variables={
                "name.full": name,
                "name.prefix": self.query.name,
                "name.suffix": name.removeprefix(self.query.name),
                "agent.segment": source.segment,
            },
            functions={"match": lambda number: groups[number] if 0 <= number < len(groups) else ""},
        )

        def evaluated(text: str, place: str) -> str:
            try:
                return str(evaluate(self._trees[place], scope))
            except ExpressionError as error:
                raise RequestError(f"Bad evaluation for '{text}' in Service{place}: {error}") from error

        service = _change_texts(self.query.service, evaluated)
        if self.query.template.remove_empty_tags:
            service.tags = [tag for tag in service.tags or () if tag]
        return replace(self.query, service=service)


def _change_texts(service: ServiceQuery, change: Change) -> ServiceQuery:
    """A copy in which every text is another one."""

    def items(values: list[str] | None, place: str) -> list[str] | None:
        return values and [change(value, f"{place}[{at}]") for at, value in enumerate(values)]

    def pairs(values: dict[str, str] | None, place: str) -> dict[str, str] | None:
        return values and {key: change(value, f"{place}[{key}]") for key, value in values.items()}

    failover = service.failover
    return replace(
        service,
        service=change(service.service, ".Service"),
        failover=replace(failover, datacenters=items(failover.datacenters, ".Failover.Datacenters")),
        ignore_check_ids=items(service.ignore_check_ids, ".IgnoreCheckIDs"),
        near=change(service.near, ".Near"),
        tags=items(service.tags, ".Tags"),
        node_meta=pairs(service.node_meta, ".NodeMeta"),
        service_meta=pairs(service.service_meta, ".ServiceMeta"),
    )
