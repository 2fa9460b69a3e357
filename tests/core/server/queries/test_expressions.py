"""HIL, as query templates use it: values, and the texts of what goes wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.server.queries.evaluation import MAX_TEXT, Scope, Value, evaluate
from consul_kernel.server.queries.expressions import ExpressionError, parse

SCOPE = Scope(
    variables={"name.full": "web-blue", "name.suffix": "blue", "empty": "", "number": "7", "flag": "true"},
    functions={"match": lambda number: f"<{number}>"},
)


def value(text: str) -> Value:
    return evaluate(parse(text), SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$5 $ $", "$5 $ $"),
        ("$${name.full}", "${name.full}"),
        ("a$$b", "a$b"),
        (r"back\slash\n", r"back\slash\n"),
        ("${name.full}", "web-blue"),
        ("x-${ name.suffix }-y", "x-blue-y"),
        ("${match(1)}${match( 2 )}", "<1><2>"),
        ('${match("3")}', "<3>"),
        ("${match(-1)}", "<-1>"),
        ("${match(number)}", "<7>"),
        ('${"quoted ${name.suffix} text"}', "quoted blue text"),
        (r'${"a\"b\\c\nd"}', 'a"b\\c\nd'),
        ('${"$${}"}', "${}"),
        ("${1 + 2 * 3}", "7"),
        ("${(1 + 2) * 3}", "9"),
        ("${7 / 2}${-7 / 2}${-7 % 4}", "3-3-3"),
        ("${7.0 / 2}", "3.5"),
        ("${1.5 + 1.5}", "3"),
        ("${number + 1}", "8"),
        ('${name.suffix == "blue" ? "yes" : "no"}', "yes"),
        ("${1 > 2 || 2 >= 2 && !false}", "true"),
        ("${true == flag}", "true"),
        ('${empty == "" ? match(1) : match(2)}', "<1>"),
        ("${number == 7}${1 != 2}", "truetrue"),
        ("${9223372036854775807 + 1}", "-9223372036854775808"),
    ],
)
def test_values(text: str, expected: str) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${bad", 'parse error at 1:6: expected "}" but found end of string'),
        ("a\n${", "parse error at 2:3: expected expression but found end of string"),
        ("${a b}", 'parse error at 1:5: expected "}" but found "b"'),
        ("${match(1}", 'parse error at 1:10: expected ")" but found "}"'),
        ('${"open}', r'parse error at 1:4: expected "${" but found invalid sequence "open}"'),
        (r'${"\q"}', "parse error at 1:4: invalid backslash escape sequence"),
        ("${1.2.3}", 'parse error at 1:3: invalid float: strconv.ParseFloat: parsing "1.2.3": invalid syntax'),
        ("${a ? b}", 'parse error at 1:8: expected : but found "}"'),
        ("${#}", 'parse error at 1:3: expected expression but found invalid sequence "#"'),
        ("${nope.x}", "1:3: unknown variable accessed: nope.x"),
        ("${nope(1)}", "1:3: unknown function called: nope"),
        ("${match()}", "1:3: match: expected 1 argument, got 0"),
        ('${match("x")}', "1:3: match: argument 1 should be type int, got type string"),
        ('${1 + "x"}', "1:3: operand 2 should be type int, got type string"),
        ("${1 / 0}", "1:3: divide by zero"),
        ("${1.5 % 2}", "1:3: modulo cannot be used with floats"),
        ("${name.full ? 1 : 2}", "1:3: condition must be type bool"),
        ("${true == 1}", "1:3: cannot compare type bool and type int"),
        ("${1 && name.full}", "1:3: operands of a logical operator must be type bool"),
    ],
)
def test_problems(text: str, problem: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        value(text)
    assert str(raised.value) == problem


@pytest.mark.parametrize("text", ["${" + "(" * 2000 + "1", "${" + "-" * 2000 + "1}", "${" + "!" * 999 + "true}"])
def test_nesting_is_bounded(text: str) -> None:
    with pytest.raises(ExpressionError, match="nests too deeply"):
        parse(text)


def test_what_a_text_becomes_is_bounded() -> None:
    with pytest.raises(ExpressionError, match="longer than"):
        evaluate(parse("${a}" * 100), Scope({"a": "x" * (MAX_TEXT // 50)}, {}))


@given(st.text(alphabet='ab.1${}()"\\+-*/%!<>=&|?:, \n#é', max_size=30))
def test_any_text_has_a_value_or_a_problem(text: str) -> None:
    try:
        assert isinstance(value(text), str)
    except ExpressionError:
        pass


@given(st.text(alphabet='ab.1{}()"\\ \n#é', max_size=30))
def test_a_text_without_dollars_stands_for_itself(text: str) -> None:
    assert value(text) == text
