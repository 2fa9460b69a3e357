"""Templates: what they make of a name, and which are refused."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.errors import RequestError
from consul_kernel.server.queries.template import MAX_NAME, CompiledTemplate
from consul_kernel.structs.prepared_query import (
    NAME_PREFIX_MATCH,
    PreparedQuery,
    QueryFailover,
    QueryTemplate,
    ServiceQuery,
)
from consul_kernel.structs.query import QuerySource


def template(service: ServiceQuery, *, regexp: str = "", removes: bool = False, name: str = "geo-") -> CompiledTemplate:
    kind = QueryTemplate(type=NAME_PREFIX_MATCH, regexp=regexp, remove_empty_tags=removes)
    return CompiledTemplate(PreparedQuery(id="an-id", name=name, template=kind, service=service))


def test_every_text_of_the_service_is_rendered() -> None:
    service = ServiceQuery(
        service="${name.full}",
        failover=QueryFailover(nearest_n=3, datacenters=["${agent.segment}", "dc2"]),
        ignore_check_ids=["${match(1)}"],
        near="${name.suffix}",
        tags=["${match(2)}", "plain", "${match(9)}"],
        node_meta={"${name.full}": "${name.prefix}"},
        service_meta={"m": "${match(0)}"},
    )
    compiled = template(service, regexp="^geo-(.*)-(.*)$")
    query = compiled.render("geo-db-master", QuerySource(segment="alpha"))
    assert query.service == ServiceQuery(
        service="geo-db-master",
        failover=QueryFailover(nearest_n=3, datacenters=["alpha", "dc2"]),
        ignore_check_ids=["db"],
        near="db-master",
        tags=["master", "plain", ""],
        node_meta={"${name.full}": "geo-"},
        service_meta={"m": "geo-db-master"},
    )
    assert (query.id, query.name) == ("an-id", "geo-")
    assert compiled.query.service is service


def test_without_a_match_all_groups_are_empty() -> None:
    compiled = template(ServiceQuery(service="s${match(0)}", tags=["${match(1)}"]), regexp="^geo-(x)$", removes=True)
    query = compiled.render("geo-y", QuerySource())
    assert (query.service.service, query.service.tags) == ("s", [])
    assert compiled.render("geo-x", QuerySource()).service.tags == ["x"]


def test_a_suffix_is_what_follows_the_prefix_in_its_own_case() -> None:
    compiled = template(ServiceQuery(service="${name.suffix}"))
    assert compiled.render("geo-DB", QuerySource()).service.service == "DB"
    assert compiled.render("GEO-DB", QuerySource()).service.service == "GEO-DB"


@pytest.mark.parametrize(
    ("service", "regexp", "problem"),
    [
        ("x", "(", "Bad Regexp: error parsing regexp: missing closing ): `(`"),
        (
            "${bad",
            "",
            "Bad format '${bad' in Service.Service: parse error at 1:6: expected \"}\" but found end of string",
        ),
        (
            "${nope.x}",
            "",
            "Bad evaluation for '${nope.x}' in Service.Service: 1:3: unknown variable accessed: nope.x",
        ),
    ],
)
def test_bad_templates(service: str, regexp: str, problem: str) -> None:
    with pytest.raises(RequestError) as raised:
        template(ServiceQuery(service=service), regexp=regexp)
    assert str(raised.value) == problem


def test_the_place_of_a_bad_text_is_told() -> None:
    with pytest.raises(RequestError, match=r"in Service\.Failover\.Datacenters\[1\]"):
        template(ServiceQuery(service="x", failover=QueryFailover(datacenters=["a", "${"])))
    with pytest.raises(RequestError, match=r"in Service\.NodeMeta\[k\]"):
        template(ServiceQuery(service="x", node_meta={"k": "${"}))


def test_other_types_and_long_names_are_refused() -> None:
    with pytest.raises(RequestError, match=r"^Bad Template\.Type 'odd'$"):
        CompiledTemplate(PreparedQuery(template=QueryTemplate(type="odd")))
    compiled = template(ServiceQuery(service="x"))
    compiled.render("x" * MAX_NAME, QuerySource())
    with pytest.raises(RequestError, match="too long"):
        compiled.render("x" * (MAX_NAME + 1), QuerySource())


@pytest.mark.timeout(10)
def test_how_long_a_name_may_be_depends_on_the_expression() -> None:
    compiled = template(ServiceQuery(service="s${match(0)}"), regexp="(a?){40}a{40}b$")
    assert compiled.render("a" * 253, QuerySource()).service.service == "s"
    with pytest.raises(RequestError, match="too long"):
        compiled.render("a" * 400, QuerySource())
