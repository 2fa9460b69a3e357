"""How answers are cut into items, and what is told of two that differ."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel_http import gojson
from consul_kernel_http.feed_items import AS_A_WHOLE, BY_ITSELF, BY_KEY, KnownBy, by_fields, either

BY_HEALTH = by_fields("Node.Node", "Service.ID")
NAMES = st.text(alphabet='ab<&é\u2028"\\/', max_size=3)


def differ(known_by: KnownBy, before: Any, after: Any) -> Any:
    old, new = known_by.items(gojson.encode(before)), known_by.items(gojson.encode(after))
    assert old is not None
    assert new is not None
    return json.loads(known_by.changes(old.digests, new))


def instance(node: str, service: str, port: int) -> dict[str, Any]:
    return {"Node": {"Node": node, "Meta": {"x": [1, 2]}}, "Service": {"ID": service, "Port": port}, "Checks": []}


def test_what_has_gone_is_told_by_what_it_is_known_by() -> None:
    before = [instance("a", "web", 1), instance("a", "db", 1), instance("b", "web", 1)]
    after = [instance("a", "web", 1), instance("b", "web", 2), instance("c", "web", 3)]
    assert differ(BY_HEALTH, before, after) == {
        "Changed": [instance("b", "web", 2), instance("c", "web", 3)],
        "Removed": [{"Node": {"Node": "a"}, "Service": {"ID": "db"}}],
    }


def test_items_without_a_part_of_the_name() -> None:
    before = [{"Node": {"Node": "a"}, "Service": None}, {"Node": {"Node": "b"}}]
    assert differ(BY_HEALTH, before, before[:1])["Removed"] == [{"Node": {"Node": "b"}, "Service": None}]


@pytest.mark.parametrize(
    ("known_by", "body"),
    [
        (BY_HEALTH, b"null"),
        (BY_HEALTH, b'{"Node":"a"}'),
        (BY_HEALTH, b'[{"Node":"a"}]'),
        (BY_ITSELF, b"[1]"),
        (BY_KEY, b"[]"),
        (AS_A_WHOLE, b"[]"),
        (by_fields("ID"), b'[{"ID":"a"},{"ID":"a","More":1}]'),
        (BY_ITSELF, b'["a","a"]'),
    ],
)
def test_what_cannot_be_told_apart_has_no_items(known_by: KnownBy, body: bytes) -> None:
    assert known_by.items(body) is None


def test_two_ways() -> None:
    known_by = either(by_fields("Key"), BY_ITSELF)
    assert differ(known_by, ["a", "b"], ["b", "c"]) == {"Changed": ["c"], "Removed": ["a"]}
    assert differ(known_by, [{"Key": "a"}], []) == {"Changed": [], "Removed": [{"Key": "a"}]}


@given(st.dictionaries(NAMES, st.integers(0, 3)), st.dictionaries(NAMES, st.integers(0, 3)))
def test_following_a_map_gives_what_it_is(before: dict[str, int], after: dict[str, int]) -> None:
    told = differ(BY_KEY, before, after)
    assert {key: before[key] for key in before if key not in told["Removed"]} | told["Changed"] == after
    assert all(before.get(key) != value for key, value in told["Changed"].items())


@given(
    st.dictionaries(st.tuples(NAMES, NAMES), st.integers(0, 3)),
    st.dictionaries(st.tuples(NAMES, NAMES), st.integers(0, 3)),
)
def test_following_a_list_gives_what_it_is(
    before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]
) -> None:
    told = differ(
        BY_HEALTH,
        [instance(*name, port) for name, port in before.items()],
        [instance(*name, port) for name, port in after.items()],
    )
    gone = {(item["Node"]["Node"], item["Service"]["ID"]) for item in told["Removed"]}
    copy = {name: instance(*name, port) for name, port in before.items() if name not in gone}
    copy |= {(item["Node"]["Node"], item["Service"]["ID"]): item for item in told["Changed"]}
    assert copy == {name: instance(*name, port) for name, port in after.items()}
