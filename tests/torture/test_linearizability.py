"""The checker itself: known histories, and every small one against trying all orders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import inf

from hypothesis import example, given
from hypothesis import strategies as st

from torture.history import Kind, Operation, Outcome
from torture.linearizability import find_violation
from torture.verdict import made_up, out_of_order, stale_reads


def put(value: str, called: float, returned: float = inf) -> Operation:
    outcome = Outcome.OK if returned < inf else Outcome.UNKNOWN
    return Operation(Kind.PUT, "k", called, returned, outcome, value)


def cas(expected: str | None, value: str, called: float, returned: float = inf, *, refused: bool = False) -> Operation:
    outcome = Outcome.REFUSED if refused else Outcome.OK if returned < inf else Outcome.UNKNOWN
    return Operation(Kind.CAS, "k", called, returned, outcome, value, expected)


def read(value: str | None, called: float, returned: float, *, mode: str = "consistent", index: int = 0) -> Operation:
    return Operation(Kind.READ, "k", called, returned, Outcome.OK, value, mode=mode, index=index)


def test_a_write_that_was_lost_is_found() -> None:
    violation = find_violation([put("a", 0, 1), put("b", 2, 3), read("a", 4, 5)])
    assert violation is not None
    assert (violation.operation.value, list(violation.states)) == ("a", ["b"])
    assert "not linearizable" in str(violation)


def test_overlapping_operations_may_take_either_order() -> None:
    assert find_violation([put("a", 0, 10), put("b", 0, 10), read("a", 11, 12)]) is None
    assert find_violation([put("a", 0, 10), put("b", 0, 10), read("b", 11, 12)]) is None
    assert find_violation([put("a", 0, 10), read("a", 1, 2), read(None, 3, 4)]) is not None


def test_a_write_without_an_answer_may_come_at_any_time_or_never() -> None:
    unknown = put("b", 2)
    assert find_violation([put("a", 0, 1), unknown, read("a", 3, 4), read("b", 5, 6)]) is None
    assert find_violation([put("a", 0, 1), unknown, read("a", 3, 4)]) is None
    assert find_violation([put("a", 0, 1), unknown, read("b", 3, 4), read("a", 5, 6)]) is not None


def test_a_refusal_needs_a_reason() -> None:
    assert find_violation([put("a", 0, 1), cas("a", "b", 2, 3, refused=True)]) is not None
    assert find_violation([put("a", 0, 1), put("x", 1), cas("a", "b", 2, 3, refused=True)]) is None
    assert find_violation([put("a", 0, 1), cas("a", "x", 1), cas("a", "b", 2, 3, refused=True)]) is None
    assert find_violation([put("a", 0, 1), cas("z", "x", 1), cas("a", "b", 2, 3, refused=True)]) is not None


def test_one_write_without_an_answer_explains_one_refusal() -> None:
    first, second = put("a", 0, 1), put("b", 4, 5)
    refusals = [cas("a", "c", 2, 3, refused=True), cas("b", "d", 6, 7, refused=True)]
    assert find_violation([first, put("x", 1), second, *refusals]) is not None
    assert find_violation([first, put("x", 1), put("y", 1), second, *refusals]) is None


def test_reads_of_what_nobody_wrote_or_of_a_refused_write_are_found() -> None:
    assert made_up([read("a", 0, 1)]) != []
    assert made_up([read("a", 0, 1), put("a", 2, 3)]) != []
    assert made_up([put("a", 0, 1), cas("z", "b", 2, 3, refused=True), read("b", 4, 5)]) != []
    assert made_up([put("a", 0, 1), read("a", 2, 3, index=7), read("a", 2, 3, index=8)]) != []
    assert made_up([put("a", 0), read("a", 2, 3, mode="stale", index=7)]) == []


def test_a_default_read_is_stale_where_somebody_knew_better_before_it() -> None:
    a, b = read("a", 2, 3, index=5), read("b", 6, 7, index=9)
    writes = [put("a", 0, 1), put("b", 4, 5)]
    late = read("a", 8, 9, mode="default", index=5)
    assert stale_reads([*writes, a, b, late]) == [str(late)]
    assert stale_reads([*writes, a, b, read("a", 4.5, 9, mode="default", index=5)]) == []
    assert out_of_order([*writes, a, b, read("a", 8, 9, index=5)]) != []
    assert out_of_order([*writes, a, b]) == []


def explained(operations: Sequence[Operation]) -> bool:
    """By the definition: an order that agrees with time, in which every answer is right."""
    known = [operation for operation in operations if operation.outcome is not Outcome.UNKNOWN]
    unknown = [op for op in operations if op.outcome is Outcome.UNKNOWN and op.kind is not Kind.READ]
    for chosen in range(1 << len(unknown)):
        effective = known + [operation for number, operation in enumerate(unknown) if chosen >> number & 1]
        if any(_is_right(order) for order in permutations(effective)):
            return True
    return False


def _is_right(order: Sequence[Operation]) -> bool:
    value: str | None = None
    latest_call = -inf
    for operation in order:
        if operation.returned_s < latest_call:
            return False
        latest_call = max(latest_call, operation.called_s)
        if operation.kind is Kind.READ:
            if operation.value != value:
                return False
        elif operation.kind is Kind.PUT:
            value = operation.value
        elif operation.outcome is Outcome.REFUSED:
            if operation.expected == value:
                return False
        elif operation.expected != value:
            return False
        else:
            value = operation.value
    return True


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Up to six operations, with whatever answers: values are v0, v1, … by the number of the operation."""
    operations = []
    count = draw(st.integers(1, 6))
    values = st.sampled_from([None, *(f"v{number}" for number in range(count))])
    for number in range(count):
        called = draw(st.integers(0, 12))
        returned: float = called + draw(st.integers(1, 6))
        kind = draw(st.sampled_from(Kind))
        outcome = draw(st.sampled_from([Outcome.OK, Outcome.OK, Outcome.UNKNOWN, Outcome.REFUSED]))
        if outcome is Outcome.REFUSED and kind is not Kind.CAS:
            outcome = Outcome.OK
        if outcome is Outcome.UNKNOWN:
            returned = inf
        expected = draw(values) if kind is Kind.CAS else None
        value = draw(values) if kind is Kind.READ else f"v{number}"
        operations.append(Operation(kind, "k", called + number / 8, returned + number / 8, outcome, value, expected))
    return operations


@given(histories())
@example([put("v0", 0), cas("v0", "v1", 1), read("v1", 2, 3)])
def test_small_histories_agree_with_trying_all_orders(operations: list[Operation]) -> None:
    """A CAS expects what its client has read; where nobody can have seen that, too much may pass."""
    seen = {op.value for op in operations if op.kind is Kind.READ} | {None}
    seen |= {op.value for op in operations if op.kind is not Kind.READ and op.outcome is Outcome.OK}
    if explained(operations):
        assert find_violation(operations) is None
    elif all(op.expected in seen for op in operations):
        assert find_violation(operations) is not None
