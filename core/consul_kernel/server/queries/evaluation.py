"""The value of a tree (HIL: `check_types.go`, `eval.go`, `builtins.go`)."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .expressions import Binary, Call, Conditional, ExpressionError, Literal, Node, Output, Variable
from .tokens import Token

Value = str | int | float | bool

MAX_TEXT = 65_536
"""Characters that one text may become."""

_MAX_INT = (1 << 63) - 1
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What expressions may name. A function takes one integer."""

    variables: Mapping[str, str]
    functions: Mapping[str, Callable[[int], str]]


def evaluate(node: Node, scope: Scope) -> Value:
    """The value. ExpressionError when it has none."""
    match node:
        case Output():
            return _joined(node, scope)
        case Literal():
            return node.value
        case Variable():
            if node.name not in scope.variables:
                raise _problem(node.at, f"unknown variable accessed: {node.name}")
            return scope.variables[node.name]
        case Call():
            return _called(node, scope)
        case Binary():
            return _combined(node, scope)
        case Conditional():
            condition = _converted(evaluate(node.condition, scope), bool)
            if condition is None:
                raise _problem(node.at, "condition must be type bool")
            return evaluate(node.then if condition else node.otherwise, scope)


def _problem(at: Token, text: str) -> ExpressionError:
    return ExpressionError(f"{at.line}:{at.column}: {text}")


def _joined(node: Output, scope: Scope) -> str:
    texts: list[str] = []
    room = MAX_TEXT
    for part in node.parts:
        text = _shown(evaluate(part, scope))
        room -= len(text)
        if room < 0:
            raise _problem(node.at, f"the text is longer than {MAX_TEXT} characters")
        texts.append(text)
    return "".join(texts)


def _called(node: Call, scope: Scope) -> str:
    function = scope.functions.get(node.name)
    if function is None:
        raise _problem(node.at, f"unknown function called: {node.name}")
    if len(node.arguments) != 1:
        raise _problem(node.at, f"{node.name}: expected 1 argument, got {len(node.arguments)}")
    value = evaluate(node.arguments[0], scope)
    number = _converted(value, int)
    if number is None:
        raise _problem(node.at, f"{node.name}: argument 1 should be type int, got {_type_name(value)}")
    return function(int(number))


def _combined(node: Binary, scope: Scope) -> Value:
    left, right = evaluate(node.left, scope), evaluate(node.right, scope)
    if node.operator in ("&&", "||"):
        return _decided(node, left, right)
    if node.operator in ("==", "!="):
        left, right = _alike(node, left, right)
        return (left == right) is (node.operator == "==")
    kind = float if isinstance(left, float) or isinstance(right, float) else int
    numbers = [_converted(value, kind) for value in (left, right)]
    for place, (value, number) in enumerate(zip((left, right), numbers, strict=True), start=1):
        if number is None:
            wanted = "type float" if kind is float else "type int"
            raise _problem(node.at, f"operand {place} should be {wanted}, got {_type_name(value)}")
    first, second = (number or 0 for number in numbers)
    if node.operator in _COMPARISONS:
        return _COMPARISONS[node.operator](first, second)
    return _reckoned(node, first, second)


def _decided(node: Binary, left: Value, right: Value) -> bool:
    first, second = _converted(left, bool), _converted(right, bool)
    if first is None or second is None:
        raise _problem(node.at, "operands of a logical operator must be type bool")
    return bool(first and second) if node.operator == "&&" else bool(first or second)


def _alike(node: Binary, left: Value, right: Value) -> tuple[Value, Value]:
    """Both values as one type, since text may stand for any other."""
    if type(left) is type(right):
        return left, right
    if isinstance(left, str):
        return left, _shown(right)
    if isinstance(right, str):
        return _shown(left), right
    if isinstance(left, bool) or isinstance(right, bool):
        raise _problem(node.at, f"cannot compare {_type_name(left)} and {_type_name(right)}")
    return float(left), float(right)


def _reckoned(node: Binary, first: float, second: float) -> Value:
    value: float
    match node.operator:
        case "+":
            value = first + second
        case "-":
            value = first - second
        case "*":
            value = first * second
        case _:
            value = _divided(node, first, second)
    if isinstance(value, int):
        return (value + _MAX_INT + 1) % (1 << 64) - _MAX_INT - 1
    if not math.isfinite(value):
        raise _problem(node.at, "no finite number")
    return value


def _divided(node: Binary, first: float, second: float) -> float:
    """As Go divides: whole numbers towards zero."""
    is_whole = isinstance(first, int) and isinstance(second, int)
    if not is_whole and node.operator == "%":
        raise _problem(node.at, "modulo cannot be used with floats")
    if second == 0:
        raise _problem(node.at, "divide by zero")
    if not is_whole:
        return first / second
    quotient = int(abs(first)) // int(abs(second)) * (1 if (first < 0) is (second < 0) else -1)
    return quotient if node.operator == "/" else int(first) - quotient * int(second)


def _converted(value: Value, kind: type[bool] | type[int] | type[float]) -> float | None:
    """The value as a boolean or a number; None where it does not stand for one."""
    if kind is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False, "1": True, "0": False}.get(value) if isinstance(value, str) else None
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            return int(value) if kind is int and len(value) < 20 else float(value) if kind is float else None
        except ValueError:
            return None
    return int(value) if kind is int else float(value)


def _shown(value: Value) -> str:
    """A value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    return str(value)


def _type_name(value: Value) -> str:
    names = {str: "type string", bool: "type bool", int: "type int", float: "type float"}
    return names[type(value)]
