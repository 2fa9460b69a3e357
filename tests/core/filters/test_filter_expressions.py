"""Filter expressions: the language, its checks against the record's type, and what it is true of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.filters import FilterError, WorkError, compile_filter, create_filter
from consul_kernel.filters.parser import MAX_DEPTH, MAX_EXPRESSION_CHARACTERS, MAX_REGEXPS
from consul_kernel.filters.regexp import MAX_WORK
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService, Weights

HUGE = "-" + "9" * 5000
INSTANCE = CheckServiceNode(
    node=Node(node="web-1", address="10.0.0.1", meta={"rack": "r1", "os name": "linux"}),
    service=NodeService(
        id="web-1",
        service="web",
        port=80,
        tags=["t", "u"],
        meta={"version": "1.2"},
        weights=Weights(passing=5),
        enable_tag_override=True,
    ),
    checks=[HealthCheck(check_id="a", status="passing"), HealthCheck(check_id="b", status="warning")],
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Service.Port == 80", True),
        ("Service.Port==81", False),
        ("Service.Port != 81", True),
        ('Service.Service == "web"', True),
        ("Service.Service == `web`", True),
        ("Service.Service == web", True),
        ("Service.EnableTagOverride == true", True),
        ("Service.Weights.Passing == 5", True),
        ("t in Service.Tags", True),
        ("x not in Service.Tags", True),
        ('Service.Tags contains "u"', True),
        ('Service.Tags not contains "u"', False),
        ("Service.Tags is empty", False),
        ("Service.Tags is not empty", True),
        ("Service.TaggedAddresses is empty", True),
        ("Node.Meta.rack == r1", True),
        ('Node.Meta["os name"] == linux', True),
        ("rack in Node.Meta", True),
        ("Node.Meta.none == r1", False),
        ("Node.Meta.none != r1", True),
        ('Node.Meta.none matches ".*"', False),
        ("eb in Service.Service", True),
        ('Service.Service contains "x"', False),
        ('Node.Node matches "^web-[0-9]$"', True),
        ('Node.Node not matches "-2$"', True),
        ("Checks.Status == warning", True),
        ("Checks.Status == critical", False),
        ("Checks.Status != warning", True),
        ("Checks is empty", False),
        ("not Service.Port == 80", False),
        ("not not Service.Port == 80", True),
        ("Service.Port == 81 or Service.Port == 80 and t in Service.Tags", True),
        ("(Service.Port == 81 or Service.Port == 80) and x in Service.Tags", False),
        ('Service.Port == 80 and not ("old" in Service.Tags or Node.Meta.rack == r7)', True),
        ("not Service.Port == 81 and Service.Port == 80", True),
        ("not (Service.Port == 81 or Service.Port == 80)", False),
        (' ( Service.Port == 80 ) and\n\tNode.Node != "x" ', True),
        ('"and" in Service.Tags or Service.Port == 80', True),
    ],
)
def test_expressions_are_true_of_what_they_say(expression: str, expected: bool) -> None:
    assert compile_filter(expression, CheckServiceNode)(INSTANCE) is expected
    assert create_filter(expression, CheckServiceNode)([INSTANCE]) == ([INSTANCE] if expected else [])


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("Nope == 1", 'Selector "Nope" is not valid'),
        ("Service.Nope == 1", 'Selector "Service.Nope" is not valid'),
        ("Service == x", 'Selector "Service" is not valid'),
        ("Service.Port.X == 1", 'Selector "Service.Port.X" is not valid'),
        ("Service.CreateIndex == 1", 'Selector "Service.CreateIndex" is not valid'),
        (
            "Service.Port == x",
            'Failed to coerce value "x" for selector "Service.Port": strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (
            "Service.Port == 9223372036854775808",
            (
                'Failed to coerce value "9223372036854775808" for selector "Service.Port": '
                'strconv.ParseInt: parsing "9223372036854775808": value out of range'
            ),
        ),
        (
            f"Service.Port == {HUGE}",
            (
                f'Failed to coerce value "{HUGE}" for selector "Service.Port": '
                f'strconv.ParseInt: parsing "{HUGE}": value out of range'
            ),
        ),
        (
            "Service.EnableTagOverride == x",
            (
                'Failed to coerce value "x" for selector "Service.EnableTagOverride": '
                'strconv.ParseBool: parsing "x": invalid syntax'
            ),
        ),
        ("Service.Port is empty", 'Invalid match operator "Is Empty" for selector "Service.Port"'),
        ("Node.Node is not empty", 'Invalid match operator "Is Not Empty" for selector "Node.Node"'),
        ("Service.Tags == x", 'Invalid match operator "Equal" for selector "Service.Tags"'),
    ],
)
def test_expressions_are_checked_against_the_record(expression: str, text: str) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(expression, CheckServiceNode)
    assert str(caught.value) == text
    with pytest.raises(FilterError) as caught:
        create_filter(expression, CheckServiceNode)
    assert str(caught.value) == f"Failed to create boolean expression evaluator: {text}"


def test_bad_regular_expressions_are_refused() -> None:
    with pytest.raises(FilterError, match=r'^Failed to compile regular expression "\(": error parsing regexp: '):
        compile_filter('Node.Node matches "("', CheckServiceNode)


@pytest.mark.parametrize(
    ("expression", "at"),
    [
        ("Service", "1:8 (7)"),
        ("Service.Service == web-1", "1:23 (22)"),
        ("Service.Port>80", "1:13 (12)"),
        ("(Service.Port == 80", "1:20 (19)"),
        ("Service.Port == 80)", "1:19 (18)"),
        ("any Checks as c {c.Status==warning}", "1:17 (16)"),
        ("Service.Port == 80 and", "1:23 (22)"),
        ('Service.Service ==\n "web', "2:2 (20)"),
        ("Service.Port == 80 Service.Port == 80", "1:20 (19)"),
        ("not", "1:4 (3)"),
        (" ", "1:2 (1)"),
        ("80 in 80", "1:7 (6)"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(expression: str, at: str) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(expression, CheckServiceNode)
    assert str(caught.value).startswith(f"{at}: ")


def test_expressions_are_bounded() -> None:
    with pytest.raises(FilterError, match="characters"):
        compile_filter("x" * (MAX_EXPRESSION_CHARACTERS + 1), CheckServiceNode)
    with pytest.raises(FilterError, match="nesting"):
        compile_filter("(" * (MAX_DEPTH + 1) + "Service.Port == 80" + ")" * (MAX_DEPTH + 1), CheckServiceNode)

    with pytest.raises(FilterError, match="regular expressions"):
        compile_filter(" or ".join(["Node.Node matches x"] * (MAX_REGEXPS + 1)), CheckServiceNode)


def test_a_long_chain_is_no_deep_tree() -> None:
    chain = " or ".join(["Node.ID == x"] * 900)
    assert compile_filter(chain, CheckServiceNode)(INSTANCE) is False
    assert compile_filter(f"not ({chain})", CheckServiceNode)(INSTANCE) is True


def outputs(count: int, text: str) -> list[HealthCheck]:
    return [HealthCheck(check_id=str(number), output=text) for number in range(count)]


@pytest.mark.parametrize(
    ("expression", "records"),
    [
        ('Output matches "a"', outputs(2, "x" * (MAX_WORK // 2 + 1))),
        ('Output matches ".{200}b"', outputs(40, "".join(map(chr, range(0x100, 0x500))))),
        (" or ".join(["Name == a"] * 1_000), outputs(MAX_WORK // 1_000 + 1, "")),
    ],
)
def test_what_would_keep_the_agent_busy_is_given_up(expression: str, records: list[HealthCheck]) -> None:
    keep = create_filter(expression, HealthCheck)
    with pytest.raises(WorkError, match=r"^The matching takes too long: "):
        keep(records)
    assert keep(records[:1]) == [], "each answer has work of its own"


def test_a_pool_of_ten_thousand_is_not_too_much() -> None:
    records = [HealthCheck(check_id=str(number), name=f"web-{number}") for number in range(10_000)]
    found = create_filter('Name matches "^web-[0-9]*7$" and Status != critical', HealthCheck)(records)
    assert len(found) == 1_000


def test_an_empty_expression_keeps_all() -> None:
    assert create_filter("", CheckServiceNode)([INSTANCE]) == [INSTANCE]


words = st.sampled_from(
    [
        "Service.Port",
        "==",
        "!=",
        "80",
        "x",
        "not",
        "in",
        "and",
        "or",
        "(",
        ")",
        "is",
        "empty",
        "matches",
        '"a"',
        "\x00",
        ".",
    ]
)


@given(st.lists(words, max_size=9).map(" ".join) | st.text(max_size=20))
def test_no_text_breaks_the_parser(expression: str) -> None:
    try:
        result: Any = create_filter(expression, CheckServiceNode)([INSTANCE])
    except FilterError:
        return
    assert result in ([], [INSTANCE])
