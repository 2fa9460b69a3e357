"""What a filter expression says, as a tree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Operator(Enum):
    """What is asked of a field; the value is its name in error texts, which are go-bexpr's."""

    EQUAL = "Equal"
    NOT_EQUAL = "Not Equal"
    IN = "In"
    NOT_IN = "Not In"
    IS_EMPTY = "Is Empty"
    IS_NOT_EMPTY = "Is Not Empty"
    MATCHES = "Matches"
    NOT_MATCHES = "Not Matches"


@dataclass(frozen=True, slots=True)
class Match:
    """One question about one field."""

    selector: tuple[str, ...]
    operator: Operator
    value: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    operands: tuple[Expression, ...]


Expression = Match | Not | And | Or


def count_matches(expression: Expression) -> int:
    """How many questions an expression asks of a record, at most."""
    match expression:
        case Match():
            return 1
        case Not(operand):
            return count_matches(operand)
        case And(operands) | Or(operands):
            return sum(map(count_matches, operands))
