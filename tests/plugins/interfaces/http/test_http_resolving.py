"""Targets are resolved once, and those that may hold a secret are not remembered."""

from __future__ import annotations

import pytest

from consul_kernel_http.resolving import LONGEST_KEPT, Resolver
from consul_kernel_http.routes import ROUTES
from consul_kernel_http.routing import Router
from consul_kernel_http.target import TargetError


@pytest.fixture
def resolver() -> Resolver:
    return Resolver(Router(ROUTES))


def test_a_target_is_path_query_and_route(resolver: Resolver) -> None:
    target = resolver.resolve("/v1/kv/a%20b?raw&dc=dc2")
    assert (target.path, target.suffix, target.moved_to) == ("/v1/kv/a b", "a b", "")
    assert target.route is not None
    assert target.route.pattern == "/v1/kv/"
    assert target.query is not None
    assert target.query.get("dc") == "dc2"


def test_a_target_that_comes_again_is_not_parsed_again(resolver: Resolver) -> None:
    assert resolver.resolve("/v1/kv/a?raw") is resolver.resolve("/v1/kv/a?raw")
    assert resolver.resolve("/v1/kv/a?raw") is not resolver.resolve("/v1/kv/a")


@pytest.mark.parametrize("raw", ["/v1/kv/a?token=secret", "/v1/kv/" + "k" * LONGEST_KEPT])
def test_secrets_and_long_targets_are_not_kept(resolver: Resolver, raw: str) -> None:
    first, second = resolver.resolve(raw), resolver.resolve(raw)
    assert first is not second
    assert (first.path, first.route) == (second.path, second.route)


def test_an_unclean_path_is_moved_with_its_query(resolver: Resolver) -> None:
    assert resolver.resolve("/v1//kv/a?raw").moved_to == "/v1/kv/a?raw"
    assert resolver.resolve("/v1/kv").moved_to == "/v1/kv/"


def test_what_nothing_answers_has_no_route(resolver: Resolver) -> None:
    assert resolver.resolve("/v2/kv/a").route is None


def test_bad_escapes_are_told_apart(resolver: Resolver) -> None:
    assert resolver.resolve("/v1/kv/a?x=%zz").query is None
    for _ in range(2):
        with pytest.raises(TargetError):
            resolver.resolve("/v1/kv/%zz")
