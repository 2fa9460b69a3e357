"""Regular expressions: the same answers as Python's matcher where both know the syntax, and never its patience."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.filters.regexp import Regexp
from consul_kernel.filters.regexp_syntax import RegexpError

characters = st.sampled_from("abA_1 \n-")
atoms = characters.map(re.escape) | st.sampled_from(
    [".", "[ab]", "[^a]", "[a-c1]", r"\d", r"\w", r"\s", r"\W", "^", "$", r"\b", r"\B", "[]a]", "[a-]", r"[\d_]"]
)


def combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = inner.map(lambda text: f"(?:{text})")
    repeated = st.tuples(groups, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,1}", "{1,}", "*?", "+?"])).map(
        "".join
    )
    return repeated | st.tuples(inner, inner).map("".join) | st.tuples(groups, groups).map("|".join)


patterns = st.recursive(atoms, combine, max_leaves=6)


@settings(max_examples=400)
@given(pattern=patterns, texts=st.lists(st.text(characters, max_size=8), max_size=4))
def test_answers_are_those_of_pythons_matcher(pattern: str, texts: list[str]) -> None:
    mine = Regexp(pattern)
    # Go's $ is the end of the text only, and its \w and \s are of ASCII; so are Python's \Z and re.ASCII.
    python = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    # Python before 3.14 finds no \\B in an empty text.
    for text in texts if "\\B" not in pattern else filter(None, texts):
        assert mine.search(text) == (python.search(text) is not None), (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("(?i)WEB", "my-web", True),
        ("(?i:W)eb", "wEb", False),
        ("(?m)^b$", "a\nb\nc", True),
        ("(?s)a.b", "a\nb", True),
        ("(?P<name>a+)b", "aab", True),
        ("(?i)a(?-i)B", "AB", True),
        ("(?i)a(?-i)B", "Ab", False),
        ("[[:alpha:]]+[[:^digit:]]$", "ab!", True),
        (r"\x41\x{42}", "AB", True),
        (r"a{,2}", "a{,2}", True),
        (r"\Aa\z", "a\n", False),
        ("", "", True),
        ("a|", "zzz", True),
        (r".*-[12]$", "services-2", True),
        ("é+", "café", True),
    ],
)
def test_go_syntax_is_known(pattern: str, text: str, expected: bool) -> None:
    assert Regexp(pattern).search(text) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "a)", "[", "[a", "[z-a]", "*", "a**", "a{2}{3}", "a{1001}", "a{3,2}", "(?=a)", "(?<n>a)", r"(a)\1"),
        *("\\", r"\q", r"\xZZ", "(?P<1>a)", "(?x)a", "[[:odd:]]", "(a{100}){100}", "(" * 99, r"\x{110000}", "(?i"),
    ],
)
def test_what_is_no_expression_is_refused(pattern: str) -> None:
    with pytest.raises(RegexpError):
        Regexp(pattern)


@given(st.text(alphabet="a()[]{}*+?|\\^$.-:P<>ixsmU1,d", max_size=12))
def test_no_text_breaks_the_compiler(pattern: str) -> None:
    try:
        regexp = Regexp(pattern)
    except RegexpError:
        return
    assert regexp.search("aa1") in (True, False)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b$", "(.*)*x", "a*a*a*a*a*a*b", "(a?){40}a{40}b$", "[ab]{0,99}x"])
def test_no_expression_takes_for_ever(pattern: str) -> None:
    assert Regexp(pattern).search("a" * 2000 + "!") is False
