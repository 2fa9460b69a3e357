"""Whether the history of one key can be explained by one copy of it (Herlihy and Wing, 1990).

The events are walked in the order of time with every state that the key can be in (Lowe, "Testing for linearizability",
2017: just-in-time linearization). Where an operation returns, only those remain in which it has taken effect.
That no value is written twice makes operations without an answer cheap:

* If their value was read they have taken effect, by the time at which the first reader returned.
* If it never was, all they can have done is to put something that nobody saw in the place of what was there, which
  only a CAS that was refused can show. All such states are one: LOST. A CAS without an answer gets there from the
  value that it expected, which does not come back; so only the PUTs spent so are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from .history import Kind, Operation, Outcome

LOST: Final = "\0lost"
"""A value that nobody read."""
SHOWN = 20

Configuration = tuple[str | None, frozenset[Operation]]
"""The key's value, and the operations under way that have taken effect."""


@dataclass(frozen=True, slots=True)
class Violation:
    """The first operation that nothing explains, what overlaps it, and what the key could have held."""

    operation: Operation
    around: Sequence[Operation]
    states: Sequence[str | None]

    def __str__(self) -> str:
        lines = [f"{self.operation.key}: not linearizable: {self.operation}; possible: {list(self.states)}"]
        return "\n    ".join([*lines, *map(str, self.around)])


def find_violation(operations: Sequence[Operation]) -> Violation | None:
    """None where the history of a key, which nobody has written before it, is linearizable."""
    return _Search(settle(operations)).run()


def settle(operations: Sequence[Operation]) -> list[Operation]:
    """Without reads that have no answer; and with a time by which writes that somebody saw have taken effect."""
    seen_s: dict[str, float] = {}
    for operation in operations:
        seen = _saw(operation)
        if seen is not None and operation.returned_s < seen_s.get(seen, inf):
            seen_s[seen] = operation.returned_s
    writers = {operation.value: operation for operation in operations if operation.kind is not Kind.READ}
    pending = list(seen_s)
    while pending:  # a CAS that was seen has seen what it expected
        value = pending.pop()
        writer = writers.get(value)
        if writer is None or writer.outcome is not Outcome.UNKNOWN or writer.expected is None:
            continue
        if seen_s[value] < seen_s.get(writer.expected, inf):
            seen_s[writer.expected] = seen_s[value]
            pending.append(writer.expected)
    settled = []
    for operation in operations:
        if operation.outcome is not Outcome.UNKNOWN:
            settled.append(operation)
        elif operation.kind is not Kind.READ:
            by_s = seen_s.get(operation.value or "", inf)
            outcome = Outcome.OK if by_s < inf else Outcome.UNKNOWN
            settled.append(replace(operation, returned_s=max(by_s, operation.called_s), outcome=outcome))
    return settled


def _saw(operation: Operation) -> str | None:
    if operation.outcome is not Outcome.OK:
        return None
    return {Kind.READ: operation.value, Kind.CAS: operation.expected}.get(operation.kind)


class _Search:
    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations
        self._running: list[Operation] = []
        self._puts = 0
        self._cas: set[str | None] = set()
        """What CAS without effect to be seen expected."""
        self._configurations: dict[Configuration, int] = {(None, frozenset()): 0}
        """With the fewest PUTs that went to LOST on the way there: fewer can do whatever more can."""

    def run(self) -> Violation | None:
        # At equal times a call comes before a return: they may overlap, which is the lenient reading.
        events = [(operation.called_s, 0, number) for number, operation in enumerate(self._operations)]
        events += [(operation.returned_s, 1, number) for number, operation in enumerate(self._operations)]
        for at_s, is_return, number in sorted(events):
            operation = self._operations[number]
            if at_s == inf:
                break
            if not is_return:
                self._call(operation)
                continue
            found = self._linearize(operation)
            if not found:
                return self._violation(operation)
            self._configurations = found
            self._running.remove(operation)
        return None

    def _call(self, operation: Operation) -> None:
        if operation.outcome is not Outcome.UNKNOWN:
            self._running.append(operation)
        elif operation.kind is Kind.PUT:
            self._puts += 1
        else:
            self._cas.add(operation.expected)

    def _linearize(self, returned: Operation) -> dict[Configuration, int]:
        """The configurations in which `returned` has taken effect, which is not under way any more."""
        found: dict[Configuration, int] = {}
        best = dict(self._configurations)
        stack = list(best.items())
        while stack:
            configuration, spent = stack.pop()
            value, effective = configuration
            if spent > best[configuration]:
                continue
            if returned in effective:
                after = (value, effective - {returned})
                found[after] = min(spent, found.get(after, spent))
                continue
            for following, then_spent in self._steps(value, effective, spent):
                if then_spent < best.get(following, self._puts + 1):
                    best[following] = then_spent
                    stack.append((following, then_spent))
        return found

    def _steps(
        self, value: str | None, effective: frozenset[Operation], spent: int
    ) -> Iterator[tuple[Configuration, int]]:
        hidden = False
        for operation in self._running:
            if operation in effective:
                continue
            if operation.kind is Kind.PUT:
                yield (operation.value, effective | {operation}), spent
            elif operation.kind is Kind.READ:
                if operation.value == value:
                    yield (value, effective | {operation}), spent
            elif operation.outcome is Outcome.OK:
                if operation.expected == value:
                    yield (operation.value, effective | {operation}), spent
            elif operation.expected != value:
                yield (value, effective | {operation}), spent
            else:
                hidden = True  # refused although the value is there: something unseen must have come before
        if hidden and value in self._cas:
            yield (LOST, effective), spent
        elif hidden and spent < self._puts:
            yield (LOST, effective), spent + 1

    def _violation(self, operation: Operation) -> Violation:
        around = [
            other
            for other in self._operations
            if other.called_s <= operation.returned_s and other.returned_s >= operation.called_s
        ]
        states = sorted({value for value, _ in self._configurations}, key=str)
        return Violation(operation, sorted(around, key=lambda other: other.called_s)[-SHOWN:], states)
