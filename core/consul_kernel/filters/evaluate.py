"""From a tree to a function: what an expression asks is checked against a record's type once, then asked often.

Semantics are go-bexpr's, as Consul 1.10 has it: a selector that passes through a list is true when it is true of any
element; a map's missing key equals nothing and is in nothing.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from .expression import And, Expression, Match, Not, Operator, Or, count_matches
from .parser import FilterError, parse
from .regexp import MAX_WORK, Regexp, Work
from .regexp_syntax import RegexpError

RecordT = TypeVar("RecordT")
Predicate = Callable[[Any], bool]

CACHED_FILTERS = 128
_HIDDEN = frozenset({"CreateIndex", "ModifyIndex", "Definition", "LocallyRegisteredAsSidecar"})
"""Fields that Consul does not let filters see."""

_INTEGER = re.compile(r"[+-]?[0-9]+")
_MAX_DIGITS = 40
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_NEGATED = {
    Operator.NOT_EQUAL: Operator.EQUAL,
    Operator.NOT_IN: Operator.IN,
    Operator.IS_NOT_EMPTY: Operator.IS_EMPTY,
    Operator.NOT_MATCHES: Operator.MATCHES,
}
_TEXT_OPERATORS = frozenset({Operator.EQUAL, Operator.IN, Operator.MATCHES})
_SCALAR_OPERATORS = frozenset({Operator.EQUAL})
_CONTAINER_OPERATORS = frozenset({Operator.IN, Operator.IS_EMPTY})
_TRUE_OF_NOTHING = frozenset({Operator.NOT_EQUAL, Operator.IS_EMPTY, Operator.NOT_IN, Operator.NOT_MATCHES})
"""What holds of a map's key that is not there."""


class Filter(Generic[RecordT]):
    """A compiled expression: a predicate of one record, or what picks records out of many."""

    def __init__(self, expression: str, record_type: type[RecordT]) -> None:
        self._work = Work()
        tree = parse(expression)
        self._questions = count_matches(tree)
        self._predicate = _build(tree, record_type, self._work)

    def __call__(self, record: RecordT) -> bool:
        """Whether it is true of a record. WorkError as for `keep`."""
        return bool(self.keep([record]))

    def keep(self, records: list[RecordT]) -> list[RecordT]:
        """The records that it is true of. WorkError when that would take longer than anybody may keep an agent busy."""
        self._work.left = MAX_WORK
        self._work.take(self._questions * len(records))
        predicate = self._predicate
        return [record for record in records if predicate(record)]


def create_filter(expression: str, record_type: type[RecordT]) -> Callable[[list[RecordT]], list[RecordT]]:
    """A function that keeps the records an expression is true of; "" keeps all. FilterError as endpoints answer it.

    The function raises WorkError where its work is too much for one answer.
    """
    if not expression:
        return _keep_all
    try:
        return compile_filter(expression, typing.cast("typing.Hashable", record_type)).keep
    except FilterError as error:
        raise FilterError(f"Failed to create boolean expression evaluator: {error}") from error


def _keep_all(records: list[RecordT]) -> list[RecordT]:
    return records


@lru_cache(maxsize=CACHED_FILTERS)
def compile_filter(expression: str, record_type: type[Any]) -> Filter[Any]:
    """The expression for records of a type. FilterError with Consul's text; the CACHED_FILTERS last are kept."""
    return Filter(expression, record_type)


def _build(expression: Expression, record_type: type[Any], work: Work) -> Predicate:
    match expression:
        case And(operands):
            needed = [_build(operand, record_type, work) for operand in operands]
            return lambda record: all(predicate(record) for predicate in needed)
        case Or(operands):
            enough = [_build(operand, record_type, work) for operand in operands]
            return lambda record: any(predicate(record) for predicate in enough)
        case Not(operand):
            inner = _build(operand, record_type, work)
            return lambda record: not inner(record)
        case Match():
            return _build_step(expression, 0, record_type, work)


def _build_step(match: Match, depth: int, kind: Any, work: Work) -> Predicate:
    """A predicate of the value that the selector has reached after `depth` parts."""
    kind = _without_none(kind)
    origin = typing.get_origin(kind)
    if depth == len(match.selector):
        return _build_question(match, kind, origin, work)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _build_field(match, depth, kind, work)
    if origin is list:
        ask = _build_step(match, depth, typing.get_args(kind)[0], work)
        if _is_record(typing.get_args(kind)[0]):
            return lambda items: any(ask(item) for item in items or ())
    if origin is dict:
        return _build_key(match, depth, typing.get_args(kind)[1], work)
    raise FilterError(f'Selector "{".".join(match.selector)}" is not valid')


def _build_field(match: Match, depth: int, kind: type[msgspec.Struct], work: Work) -> Predicate:
    wanted = match.selector[depth]
    for field in msgspec.structs.fields(kind):
        if field.encode_name == wanted and wanted not in _HIDDEN:
            ask = _build_step(match, depth + 1, field.type, work)
            name = field.name
            return lambda record: ask(getattr(record, name))
    raise FilterError(f'Selector "{".".join(match.selector)}" is not valid')


def _build_key(match: Match, depth: int, value_kind: Any, work: Work) -> Predicate:
    key = match.selector[depth]
    ask = _build_step(match, depth + 1, value_kind, work)
    absent = match.operator in _TRUE_OF_NOTHING

    def of_map(items: dict[str, Any] | None) -> bool:
        return ask(items[key]) if items and key in items else absent

    return of_map


def _build_question(match: Match, kind: Any, origin: Any, work: Work) -> Predicate:
    positive = _NEGATED.get(match.operator, match.operator)
    ask: Predicate | None = None
    if origin is list and not _is_record(typing.get_args(kind)[0]):
        ask = _ask_container(match, positive)
    elif origin is dict or origin is list:
        ask = _ask_container(match, positive) if origin is dict else _ask_emptiness(positive)
    elif isinstance(kind, type) and not issubclass(kind, msgspec.Struct):
        ask = _ask_scalar(match, positive, kind, work)
    elif kind is not Any:
        raise FilterError(f'Selector "{".".join(match.selector)}" is not valid')
    if ask is None:
        raise FilterError(f'Invalid match operator "{match.operator.value}" for selector "{".".join(match.selector)}"')
    if positive is match.operator:
        return ask
    return lambda value: not ask(value)


def _ask_emptiness(operator: Operator) -> Predicate | None:
    return (lambda items: not items) if operator is Operator.IS_EMPTY else None


def _ask_container(match: Match, operator: Operator) -> Predicate | None:
    if operator not in _CONTAINER_OPERATORS:
        return None
    wanted = match.value
    return (lambda items: bool(items) and wanted in items) if operator is Operator.IN else _ask_emptiness(operator)


def _ask_scalar(match: Match, operator: Operator, kind: type[Any], work: Work) -> Predicate | None:
    if operator not in (_TEXT_OPERATORS if issubclass(kind, str | bytes) else _SCALAR_OPERATORS):
        return None
    if operator is Operator.MATCHES:
        search = _compile_regexp(match.value, work).search
        return lambda text: search(text or "")
    text_value = match.value
    if operator is Operator.IN:
        return lambda text: text_value in (text or "")
    wanted = _coerce(match, kind)
    return lambda value: bool(value == wanted)


def _coerce(match: Match, kind: type[Any]) -> object:
    text = match.value
    if issubclass(kind, bool):
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        problem = f'strconv.ParseBool: parsing "{text}": invalid syntax'
    elif issubclass(kind, int):
        number = _read_int(text)
        if number is not None:
            return number
        reason = "value out of range" if _INTEGER.fullmatch(text) else "invalid syntax"
        problem = f'strconv.ParseInt: parsing "{text}": {reason}'
    else:
        return text
    raise FilterError(f'Failed to coerce value "{text}" for selector "{".".join(match.selector)}": {problem}')


def _read_int(text: str) -> int | None:
    """A whole number of 64 bits."""
    if len(text) > _MAX_DIGITS or not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


def _compile_regexp(text: str, work: Work) -> Regexp:
    try:
        return Regexp(text, work)
    except RegexpError as error:
        raise FilterError(f'Failed to compile regular expression "{text}": error parsing regexp: {error}') from error


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [one for one in typing.get_args(kind) if one is not type(None)]
        return kinds[0] if len(kinds) == 1 else Any
    return kind


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
