"""The kit finds stores that break the contract: each of these breaks one clause, and its check says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from consul_kernel.contracts.store import HardState, LogEntry, StoreContext, StorePlugin
from consul_kernel.testing import store_log_checks, store_snapshot_checks, store_state_checks
from consul_kernel.testing.clauses import ClauseError
from consul_kernel.testing.store_subject import Check, StoreSubject
from consul_kernel_memory.log import MemoryLog
from consul_kernel_memory.snapshots import MemorySnapshots
from consul_kernel_memory.state import MemoryState, MemoryStateSnapshot
from consul_kernel_memory.store import MemoryStore


class InclusiveRange(MemoryState):
    """Takes `stop` as inclusive."""

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return super().range(table, start, None if stop is None else stop + b"\x00", reverse=reverse)


class LiveSnapshot(MemoryState):
    """Its snapshots follow the store."""

    def snapshot(self) -> MemoryStateSnapshot:
        view = super().snapshot()
        self.forget(view._before)
        return view


class NoUndo(MemoryState):
    """Keeps what a failed batch wrote."""

    def end(self, *, undo: bool) -> None:
        super().end(undo=False)


class ForgetfulLog(MemoryLog):
    """Forgets the term of the entry before the log."""

    def term(self, index: int) -> int | None:
        return None if index == self._base_index else super().term(index)


class GreedyLog(MemoryLog):
    """Gives all entries, however large."""

    def entries(self, first: int, last: int, max_bytes: int) -> Sequence[LogEntry]:
        return super().entries(first, last, 1 << 60)


class AppendingLog(MemoryLog):
    """Keeps what an append should replace."""

    async def append(self, entries: Sequence[LogEntry], hard_state: HardState | None = None) -> None:
        await super().append([entry for entry in entries if entry.index > self.last_index], hard_state)


class Hoarder(MemorySnapshots):
    """Lists the oldest snapshot first."""

    def list(self) -> Sequence[Any]:
        return list(super().list())[::-1]


class Broken(StoreSubject):
    """A memory store with one part exchanged."""

    parts: dict[str, Any] = {}

    @property
    def plugin(self) -> StorePlugin:
        return StorePlugin(api=1, name="broken", create=self._create)

    def _create(self, context: StoreContext, config: Any) -> MemoryStore:
        store = MemoryStore()
        for name, part in self.parts.items():
            setattr(store, name, part())
        return store


CASES: list[tuple[str, type, Check]] = [
    ("_state", InclusiveRange, store_state_checks.check_k4_ranges),
    ("_state", LiveSnapshot, store_state_checks.check_v1_snapshots_are_frozen),
    ("_state", NoUndo, store_state_checks.check_b4_a_failed_batch_is_undone),
    ("_log", ForgetfulLog, store_log_checks.check_l9_reset),
    ("_log", GreedyLog, store_log_checks.check_l5_bounds_of_entries),
    ("_log", AppendingLog, store_log_checks.check_l2_append_and_replace),
    ("_snapshots", Hoarder, store_snapshot_checks.check_s2_list_and_meta),
]


@pytest.mark.parametrize(("part", "kind", "check"), CASES, ids=[kind.__name__ for _, kind, _ in CASES])
async def test_a_broken_part_is_found(part: str, kind: type, check: Check, tmp_path: Path) -> None:
    subject = type("Case", (Broken,), {"parts": {part: kind}})("broken")
    with pytest.raises(ClauseError):
        await check(subject, tmp_path)
