"""What the history says: is anything lost, made up, or out of order; and how long nothing was written."""

from __future__ import annotations

import bisect
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from .clients import read
from .history import History, Kind, Operation, Outcome
from .linearizability import find_violation
from .nemesis import Strike
from .servers import Server, Servers

CAUGHT_UP_S, CAUGHT_UP_POLL_S = 30.0, 0.1


@dataclass(slots=True)
class Verdict:
    """`anomalies` are broken promises; a stale default read is none, where the leader did not know better."""

    anomalies: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stale_default_reads: list[str] = field(default_factory=list)
    unavailable_s: dict[str, float] = field(default_factory=dict)
    """The longest time without an acknowledged write that began during a fault, by fault."""

    @property
    def violations(self) -> list[str]:
        """All that must not happen."""
        return self.anomalies + self.lost


def read_everything(servers: Servers, history: History) -> list[str]:
    """Once all is well: every key once more, at every server; the acknowledged inserts that one of them lacks."""
    for key in list(history.by_key):
        for server in servers.all:
            history.add(read(server, key, "consistent"))
    return [line for server in servers.all for line in _lost_at(server, history.inserted)]


def _lost_at(server: Server, inserted: Set[str]) -> list[str]:
    """By what the leader answers through this server, and by its own state, which may have to catch up first."""
    lost = []
    for mode, patience_s in (("consistent", 0.0), ("stale", CAUGHT_UP_S)):
        until_s = time.monotonic() + patience_s
        while missing := inserted - set(server.get(f"/v1/kv/inserts/?keys&{mode}")):
            if time.monotonic() >= until_s:
                lost += [f"{server.name} has lost {key} ({mode})" for key in sorted(missing)]
                break
            time.sleep(CAUGHT_UP_POLL_S)
    return lost


def judge(history: History, strikes: Sequence[Strike], lost: Iterable[str]) -> Verdict:
    """Everything that follows from what clients saw."""
    verdict = Verdict(lost=list(lost))
    for operations in history.by_key.values():
        strict = [operation for operation in operations if operation.mode not in ("default", "stale")]
        violation = find_violation(strict)
        if violation is not None:
            verdict.anomalies.append(str(violation))
        verdict.anomalies += made_up(operations)
        verdict.anomalies += out_of_order(operations)
        verdict.stale_default_reads += stale_reads(operations)
    verdict.unavailable_s = outages(sorted(history.written_s), strikes)
    return verdict


def made_up(operations: Sequence[Operation]) -> list[str]:
    """Reads, of any mode, of what nobody had begun to write, or of an index that another value had."""
    begun_s = {op.value or "": op.called_s for op in operations if op.kind is not Kind.READ}
    refused = {operation.value for operation in operations if operation.outcome is Outcome.REFUSED}
    indexes: dict[str, int] = {}
    found = []
    for operation in operations:
        if operation.kind is not Kind.READ or operation.outcome is not Outcome.OK or operation.value is None:
            continue
        if begun_s.get(operation.value, operation.returned_s) >= operation.returned_s:
            found.append(f"{operation.key}: read before it was written: {operation}")
        if operation.value in refused:
            found.append(f"{operation.key}: read although it was refused: {operation}")
        if indexes.setdefault(operation.value, operation.index) != operation.index:
            found.append(f"{operation.key}: read with two indexes: {operation}")
    return found


def out_of_order(operations: Sequence[Operation]) -> list[str]:
    """Consistent reads whose ModifyIndex is older than that of one which had returned before they were called."""
    return [f"{late.key}: the index went back: {late}" for late in _older_than_known(operations, "consistent")]


def stale_reads(operations: Sequence[Operation]) -> list[str]:
    """Default reads that are older than what somebody knew before they were called."""
    return [str(late) for late in _older_than_known(operations, "default")]


def _older_than_known(operations: Sequence[Operation], mode: str) -> list[Operation]:
    """Reads of this mode against consistent reads and acknowledged writes that returned before them."""
    index_of = {op.value: op.index for op in operations if op.kind is Kind.READ}
    known: list[tuple[float, int]] = []
    newest = 0
    for returned_s, index in sorted(
        (op.returned_s, op.index if op.kind is Kind.READ else index_of.get(op.value, 0))
        for op in operations
        if op.outcome is Outcome.OK and (op.kind is not Kind.READ or op.mode == "consistent")
    ):
        newest = max(newest, index)
        known.append((returned_s, newest))
    late = []
    for op in operations:
        if op.mode == mode and op.outcome is Outcome.OK:
            before = bisect.bisect_left(known, (op.called_s, 0))
            if before and op.index < known[before - 1][1]:
                late.append(op)
    return late


def outages(written_s: Sequence[float], strikes: Sequence[Strike]) -> dict[str, float]:
    """The longest time between two acknowledged writes, by the fault that lasted when it ended or began."""
    longest: Counter[str] = Counter()
    for before_s, after_s in itertools.pairwise(written_s):
        if after_s - before_s < 0.1:
            continue
        causes = [s.name for s in strikes if s.begun_s < after_s and before_s < (s.well_s or after_s)]
        cause = "+".join(sorted(causes)) or "none"
        longest[cause] = max(longest[cause], after_s - before_s)  # type: ignore[assignment]
    return dict(longest)


def as_lines(history: History) -> Iterable[str]:
    """The history, one operation a line of JSON."""
    for operations in history.by_key.values():
        for op in operations:
            yield json.dumps(
                {
                    "key": op.key,
                    "kind": op.kind.value,
                    "mode": op.mode,
                    "called_s": op.called_s,
                    "returned_s": op.returned_s if op.outcome is not Outcome.UNKNOWN else None,
                    "outcome": op.outcome.value,
                    "value": op.value,
                    "expected": op.expected,
                    "index": op.index,
                    "server": op.server,
                }
            )
