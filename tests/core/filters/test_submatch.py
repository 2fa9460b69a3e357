"""Groups of regular expressions: what Python's matcher says of them, and in bounded time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.filters import GroupRegexp, RegexpError

characters = st.sampled_from("abA_1 \n-")
repeatable = st.sampled_from(["a", "b", "-", ".", "[ab]", r"\d"])
atoms = characters.map(re.escape) | st.sampled_from([".", "[ab]", r"\d", r"\w", "^", r"\b"])


def combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.tuples(st.sampled_from(["(?:", "(", "(?P<n>"]), inner).map(lambda parts: f"{parts[0]}{parts[1]})")
    # A group around what can be empty is not repeated: of its last turn Go and Python think differently.
    repeated = st.tuples(
        repeatable | repeatable.map(lambda atom: f"({atom})"),
        st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "*?", "+?", "??"]),
    ).map("".join)
    return repeated | groups | st.tuples(inner, inner).map("".join) | st.tuples(groups, groups).map("|".join)


patterns = st.recursive(atoms, combine, max_leaves=6).filter(lambda pattern: pattern.count("(?P") < 2)


@settings(max_examples=200)
@given(pattern=patterns, texts=st.lists(st.text(characters, max_size=8), max_size=4))
def test_groups_are_those_of_pythons_matcher(pattern: str, texts: list[str]) -> None:
    mine, python = GroupRegexp(pattern), re.compile(pattern, re.ASCII)
    for text in texts:
        found = python.search(text)
        expected = [] if found is None else [found[0], *(group or "" for group in found.groups())]
        assert mine.find(text) == expected, (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("^geo-db-(.*?)-([^-]+?)$", "geo-db-customer-master", ["geo-db-customer-master", "customer", "master"]),
        ("(?U)(a+)(a*)", "aaa", ["a", "a", ""]),
        ("(?U)(a+?)", "aaa", ["aaa", "aaa"]),
        ("(a)|(b)", "b", ["b", "", "b"]),
        ("(a|ab)(c|bcd)", "abcd", ["abcd", "a", "bcd"]),
        ("(?:a(x)){2}", "axax", ["axax", "x"]),
        ("(é+)!", "caféé!", ["éé!", "éé"]),
        ("(a)", "b", []),
        ("", "b", [""]),
    ],
)
def test_leftmost_first_and_lazy_as_in_go(pattern: str, text: str, expected: list[str]) -> None:
    assert GroupRegexp(pattern).find(text) == expected


def test_no_expression() -> None:
    with pytest.raises(RegexpError, match="missing closing"):
        GroupRegexp("(a")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b$", "(.*)*x", "(a*)(a*)(a*)(a*)b", "(a?){40}a{40}b$"])
def test_no_expression_takes_for_ever(pattern: str) -> None:
    assert GroupRegexp(pattern).find("a" * 1000 + "!") == []
