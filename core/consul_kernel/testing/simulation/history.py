"""What clients did to registers and what they saw, and whether it is linearizable.

Linearizability is local: a history is linearizable when its part on each register is (Herlihy and Wing,
"Linearizability: A Correctness Condition for Concurrent Objects", 1990, theorem 1). In general the question is hard;
where no value is written twice, one look at the history in order of time answers it (Gibbons and Korach, "Testing
Shared Memories", 1997, section 4).
"""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass
from typing import Final

_NEVER: Final = 1 << 62
_BEFORE_ALL: Final = -1


@dataclass(slots=True)
class Operation:
    """One write or read of one register.

    `began` and `ended` count the beginnings and ends of the history, so that no two are equal. `ended` is None while
    nobody knows how it went: a write may then have happened, or may yet happen, or never.
    """

    key: str
    is_write: bool
    value: str
    """What was written or seen; "" is what every register holds at first."""
    began: int
    ended: int | None = None

    def __str__(self) -> str:
        ended = "never" if self.ended is None else str(self.ended)
        return f"{'write' if self.is_write else 'read'} of {self.value!r} ({self.began} to {ended})"


class _Cluster:
    """A write and all reads that saw it: of these, the first to end and the last to begin.

    In between the register must have held the value when they are in this order (a forward zone); otherwise one moment
    in between is enough (a backward zone). `write` is None for what the register holds at first.
    """

    __slots__ = ("first", "first_end", "last", "last_begin", "write")

    def __init__(self, write: Operation | None) -> None:
        self.write = self.first = self.last = write
        self.first_end = self.last_begin = _BEFORE_ALL
        if write is not None:
            self.first_end = _NEVER if write.ended is None else write.ended
            self.last_begin = write.began

    def add(self, read: Operation, ended: int) -> None:
        if ended < self.first_end:
            self.first, self.first_end = read, ended
        if read.began > self.last_begin:
            self.last, self.last_begin = read, read.began

    def __str__(self) -> str:
        ends = [str(operation) for operation in (self.first, self.last) if operation is not None]
        return " and ".join(dict.fromkeys(ends)) or "what it held at first"


class History:
    """Operations of any number of clients. Values that are written are not empty, and each is written once."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._moment = 0

    def __len__(self) -> int:
        return len(self.operations)

    def _next_moment(self) -> int:
        self._moment += 1
        return self._moment

    def begin_write(self, key: str, value: str) -> Operation:
        """A client asks for a value to be written."""
        operation = Operation(key, True, value, self._next_moment())
        self.operations.append(operation)
        return operation

    def begin_read(self, key: str) -> Operation:
        """A client asks for a register's value."""
        operation = Operation(key, False, "", self._next_moment())
        self.operations.append(operation)
        return operation

    def end(self, operation: Operation, value: str | None = None) -> None:
        """The client has its answer: that it was written, or the `value` that was seen."""
        operation.ended = self._next_moment()
        if value is not None:
            operation.value = value

    def explain(self) -> str | None:
        """Why the history is not linearizable; None: it is."""
        by_key: dict[str, list[Operation]] = {}
        for operation in self.operations:
            by_key.setdefault(operation.key, []).append(operation)
        for key, operations in by_key.items():
            reason = _explain_register(operations)
            if reason is not None:
                return f"register {key}: {reason}"
        return None


def _explain_register(operations: list[Operation]) -> str | None:
    clusters = {"": _Cluster(None)}
    for operation in operations:
        if operation.is_write:
            if operation.value in clusters:
                raise ValueError(f"{operation.value!r} is written twice")
            clusters[operation.value] = _Cluster(operation)
    for operation in operations:
        if operation.is_write or operation.ended is None:
            continue
        cluster = clusters.get(operation.value)
        if cluster is None:
            return f"{operation}, which nobody wrote"
        if cluster.write is not None and operation.ended < cluster.write.began:
            return f"{operation}, before the {cluster.write}"
        cluster.add(operation, operation.ended)
    return _compare_zones(list(clusters.values()))


def _compare_zones(clusters: list[_Cluster]) -> str | None:
    """A register holds no two values at once, and what was seen had its moment."""
    forward = [one for one in clusters if one.first_end < one.last_begin]
    # A write without an end that nobody saw has no zone: it may not have happened.
    backward = [one for one in clusters if one.last_begin <= one.first_end < _NEVER]
    forward.sort(key=lambda cluster: cluster.first_end)
    for one, other in itertools.pairwise(forward):
        if other.first_end < one.last_begin:
            return f"two values at once: {one}; {other}"
    starts = [cluster.first_end for cluster in forward]
    for cluster in backward:
        at = bisect.bisect_left(starts, cluster.last_begin) - 1
        if at >= 0 and cluster.first_end < forward[at].last_begin:
            return f"there was no moment for the {cluster}, between {forward[at]}"
    return None
