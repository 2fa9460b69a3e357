"""Linearizability of registers: against cases that are known, and against every order that there is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.testing.simulation import History, Operation

Step = tuple[str, int]


def history_of(text: str) -> History:
    """`+w1 -w1` begin and end a write of the value 1, `+ra`, `-ra=1` a read by the name a, which sees 1."""
    history, under_way = History(), dict[str, Operation]()
    for word in text.split():
        name, _, value = word[1:].partition("=")
        if word[0] == "-":
            history.end(under_way[name], value if name[0] == "r" else None)
        elif name[0] == "w":
            under_way[name] = history.begin_write("k", name[1:])
        else:
            under_way[name] = history.begin_read("k")
    return history


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+ra -ra=",
        "+w1 -w1 +ra -ra=1",
        "+w1 +ra -ra= +rb -rb=1 -w1",  # takes effect in between
        "+w1 +w2 -w1 -w2 +ra -ra=1",  # either may be the last
        "+w1 -w1 +w2 +ra -ra=2 +rb -rb=2",  # nobody knows how the second write went, but it was seen
        "+w1 -w1 +w2 +ra -ra=1 +rb -rb=1",  # … or not
        "+w1 -w1 +ra +w2 -w2 -ra=1",
    ],
)
def test_histories_that_are_linearizable(text: str) -> None:
    assert history_of(text).explain() is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("+w1 -w1 +ra -ra=", "no moment"),  # a stale read
        ("+w1 -w1 +w2 -w2 +ra -ra=1", "no moment"),
        ("+w1 +ra -ra=1 +rb -rb= -w1", "no moment"),  # back in time
        ("+w1 -w1 +w2 +ra -ra=2 +rb -rb=1", "no moment"),
        ("+w1 +w2 -w1 -w2 +ra -ra=1 +rb -rb=2", "two values at once"),
        ("+w1 -w1 +ra -ra=7", "nobody wrote"),
        ("+ra -ra=1 +w1 -w1", "before the write"),
    ],
)
def test_histories_that_are_not(text: str, reason: str) -> None:
    explained = history_of(text).explain()
    assert explained is not None
    assert reason in explained


def test_registers_are_looked_at_one_by_one() -> None:
    history = History()
    history.end(history.begin_write("a", "1"))
    history.end(history.begin_read("b"), "")
    assert history.explain() is None
    history.end(history.begin_read("a"), "")
    assert str(history.explain()).startswith("register a: ")


def test_a_value_that_is_written_twice_is_the_fault_of_the_test() -> None:
    with pytest.raises(ValueError, match="written twice"):
        history_of("+w1 -w1 +w1 -w1").explain()


def in_some_order(operations: Sequence[Operation]) -> bool:
    """By trying every order (Wing and Gong, "Testing and Verifying Concurrent Objects", 1993), without cleverness."""
    certain = [one for one in operations if one.ended is not None]
    open_writes = [one for one in operations if one.ended is None and one.is_write]
    for count in range(len(open_writes) + 1):
        for chosen in itertools.combinations(open_writes, count):
            if any(_is_right(order) for order in itertools.permutations((*certain, *chosen))):
                return True
    return False


def _is_right(order: Sequence[Operation]) -> bool:
    value = ""
    for at, operation in enumerate(order):
        if any(later.ended is not None and later.ended < operation.began for later in order[at + 1 :]):
            return False
        if operation.is_write:
            value = operation.value
        elif operation.value != value:
            return False
    return True


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Up to six operations that overlap in any way; reads see any value, mostly one that was written."""
    history, under_way, written = History(), list[Operation](), [""]
    for _ in range(draw(st.integers(1, 10))):
        if under_way and (len(history) == 6 or draw(st.booleans())):
            operation = under_way.pop(draw(st.integers(0, len(under_way) - 1)))
            history.end(operation, None if operation.is_write else draw(st.sampled_from(written)))
        elif len(history) < 6 and draw(st.booleans()):
            written.append(str(len(history) + 1))
            under_way.append(history.begin_write("k", written[-1]))
        elif len(history) < 6:
            under_way.append(history.begin_read("k"))
    return history


@given(histories())
@settings(max_examples=400)
def test_the_answer_is_that_of_trying_every_order(history: History) -> None:
    assert (history.explain() is None) == in_some_order(history.operations)
