"""What clients asked and what came back: the only evidence that the checks use."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import Enum
from math import inf


class Kind(Enum):
    """What an operation does to its key."""

    PUT = "put"
    CAS = "cas"
    READ = "read"


class Outcome(Enum):
    """What the client knows about it."""

    OK = "ok"
    REFUSED = "refused"
    """A CAS that was answered with false."""
    UNKNOWN = "unknown"
    """No answer, or one that does not say whether it was carried out."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One request. Times are of the monotonic clock, in seconds; without an answer it never returned.

    `value` is what was written or read, None for no such key. Values are written once in the life of a key. `expected`
    is what a CAS compares with: the value that the client read with the index that it names. `index` is the
    ModifyIndex of what was read, 0 for no such key.
    """

    kind: Kind
    key: str
    called_s: float
    returned_s: float
    outcome: Outcome
    value: str | None
    expected: str | None = None
    mode: str = ""
    index: int = 0
    server: str = ""

    def __str__(self) -> str:
        returned = "?" if self.returned_s == inf else f"{self.returned_s:.4f}"
        expected = f" where {self.expected}" if self.kind is Kind.CAS else ""
        what = f"{self.mode or self.kind.value} {self.value}{expected}"
        return f"[{self.called_s:.4f} .. {returned}] {self.server}: {what}: {self.outcome.value}"


class History:
    """Operations by key. Clients of several threads add to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.by_key: dict[str, list[Operation]] = defaultdict(list)
        self.counts: Counter[tuple[str, str]] = Counter()
        """By mode and outcome."""
        self.written_s: list[float] = []
        """When writes were acknowledged."""
        self.inserted: set[str] = set()
        """Keys of acknowledged writes that nothing overwrites."""

    def add(self, operation: Operation) -> None:
        """An operation that is over."""
        with self._lock:
            self.by_key[operation.key].append(operation)
            self._count(operation.mode or operation.kind.value, operation.outcome, operation)

    def add_insert(self, operation: Operation) -> None:
        """A write of a key that is written once."""
        with self._lock:
            if operation.outcome is Outcome.OK:
                self.inserted.add(operation.key)
            self._count("insert", operation.outcome, operation)

    def count_unsent(self, mode: str) -> None:
        """A request that no server took."""
        with self._lock:
            self.counts[mode, "not sent"] += 1

    def _count(self, mode: str, outcome: Outcome, operation: Operation) -> None:
        self.counts[mode, outcome.value] += 1
        if operation.kind is not Kind.READ and outcome is Outcome.OK:
            self.written_s.append(operation.returned_s)
