"""Both stores against the simplest model there is, in whatever order hypothesis finds."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import HardState, LogEntry, StateReader, StateSnapshot, StateWriter, Store
from consul_kernel.testing.store_subject import StoreSubject

ALL = 1 << 40
MEMORY = StoreSubject("consul_kernel_memory")
DISK = StoreSubject(
    "consul_kernel_disk",
    {"segment_bytes": 4096, "log_cache_bytes": 1000, "map_bytes": 32 << 20, "snapshots_retained": 2},
)
SUBJECTS = pytest.mark.parametrize("subject", [MEMORY, DISK], ids=["memory", "disk"])
SETTINGS = settings(max_examples=40, stateful_step_count=40, suppress_health_check=list(HealthCheck), print_blob=True)

QUICK_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""In memory where that is possible: thousands of flushes, none of which is under test."""

Model = dict[str, dict[bytes, bytes]]


class StoreMachine(RuleBasedStateMachine):
    """Opens a store, and opens it again."""

    subject: ClassVar[StoreSubject]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(dir=QUICK_FOLDER)
        self.store: Store = self.subject.make(Path(self.folder.name))
        self.do(self.store.start())

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def reopen(self) -> None:
        self.do(self.store.aclose())
        self.store = self.subject.make(Path(self.folder.name))
        self.do(self.store.start())

    def teardown(self) -> None:
        self.do(self.store.aclose())
        self.runner.close()
        self.folder.cleanup()


tables = st.sampled_from(["kv", "kv2", "é"])
stems = st.sampled_from([b"a" * 439, b"a" * 440, b"a" * 441, b"a" * 880, b"a" * 1300, b"\xff" * 440, b"\xff" * 881])
short_keys = st.binary(min_size=1, max_size=3)
keys = st.one_of(short_keys, st.builds(lambda stem, tail: stem + tail, stems, st.binary(max_size=2)))
values = st.binary(max_size=20)


class StateMachine(StoreMachine):
    """Batches, undone ones, snapshots and ranges. The model is a dict of dicts, copied for each view."""

    def __init__(self) -> None:
        super().__init__()
        self.model: Model = {}
        self.batch: AbstractContextManager[StateWriter] | None = None
        self.writer: StateWriter | None = None
        self.draft: Model = {}
        self.views: list[tuple[StateSnapshot, Model]] = []

    def _copy(self) -> Model:
        return {name: dict(rows) for name, rows in self.model.items()}

    @precondition(lambda self: self.batch is None)
    @rule()
    def begin(self) -> None:
        self.batch = self.store.state.write()
        self.writer = self.batch.__enter__()
        self.draft = self._copy()

    @precondition(lambda self: self.batch is not None)
    @rule(table=tables, key=keys, value=values)
    def put(self, table: str, key: bytes, value: bytes) -> None:
        assert self.writer is not None
        self.writer.put(table, key, value)
        self.draft.setdefault(table, {})[key] = value

    @precondition(lambda self: self.batch is not None)
    @rule(table=tables, key=keys, data=st.data())
    def delete(self, table: str, key: bytes, data: st.DataObject) -> None:
        assert self.writer is not None
        rows = self.draft.setdefault(table, {})
        if rows:
            key = data.draw(st.one_of(st.just(key), st.sampled_from(sorted(rows))))
        assert self.writer.delete(table, key) == (rows.pop(key, None) is not None)

    @precondition(lambda self: self.batch is not None)
    @rule()
    def clear(self) -> None:
        assert self.writer is not None
        self.writer.clear()
        self.draft = {}

    @precondition(lambda self: self.batch is not None)
    @rule(fail=st.booleans())
    def end(self, fail: bool) -> None:
        assert self.batch is not None
        error = StoreError("undo") if fail else None
        self.batch.__exit__(StoreError if fail else None, error, None)
        if not fail:
            self.model = self.draft
        self.batch = self.writer = None

    @precondition(lambda self: len(self.views) < 4)
    @rule()
    def look(self) -> None:
        self.views.append((self.store.state.snapshot(), self._copy()))

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def look_away(self, data: st.DataObject) -> None:
        view, _ = self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))
        view.close()

    @precondition(lambda self: self.batch is None and self.subject.durable)
    @rule()
    def restart(self) -> None:
        self.views.clear()
        self.reopen()

    @rule(table=tables, start=st.one_of(st.just(b""), keys), stop=st.one_of(st.none(), keys), reverse=st.booleans())
    def compare_ranges(self, table: str, start: bytes, stop: bytes | None, reverse: bool) -> None:
        for reader, model in self._all():
            pairs = sorted(model.get(table, {}).items(), reverse=reverse)
            wanted = [pair for pair in pairs if pair[0] >= start and (stop is None or pair[0] < stop)]
            assert list(reader.range(table, start, stop, reverse=reverse)) == wanted
            assert reader.get(table, start) == model.get(table, {}).get(start)

    @invariant()
    def tables_agree(self) -> None:
        for reader, model in self._all():
            assert list(reader.tables()) == sorted(name for name, rows in model.items() if rows)

    def _all(self) -> list[tuple[StateReader, Model]]:
        found: list[tuple[StateReader, Model]] = [(self.store.state, self.model), *self.views]
        return found if self.writer is None else [*found, (self.writer, self.draft)]

    def teardown(self) -> None:
        if self.batch is not None:
            self.batch.__exit__(None, None, None)
        for view, _ in self.views:
            view.close()
        super().teardown()


class LogMachine(StoreMachine):
    """Appends, replacements, compaction, resets and new starts. The model is a dict of entries."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[int, LogEntry] = {}
        self.base = (0, 0)
        self.compacted = 0
        self.last = 0
        self.hard_state = HardState()
        self.term = 1

    @rule(
        back=st.integers(-2, 30), count=st.integers(0, 12), size=st.sampled_from([0, 1, 500, 9000]), vote=st.booleans()
    )
    def append(self, back: int, count: int, size: int, vote: bool) -> None:
        self.term += 1
        first = self.last + 1 - back
        run = [LogEntry(index, self.term, index % 5, b"x" * size) for index in range(first, first + count)]
        hard_state = HardState(self.term, "v" * (self.term % 40)) if vote else None
        refused = bool(run) and not self.store.log.first_index <= first <= self.last + 1
        try:
            self.do(self.store.log.append(run, hard_state))
        except StoreError:
            assert refused
            return
        assert not refused
        self.hard_state = hard_state or self.hard_state
        if run:
            for index in range(first, self.last + 1):
                del self.model[index]
            self.model.update({entry.index: entry for entry in run})
            self.last = run[-1].index

    @rule(back=st.integers(-5, 40))
    def compact(self, back: int) -> None:
        index = max(0, self.last - back)
        self.do(self.store.log.compact(index))
        self.compacted = max(self.compacted, min(index, self.last))

    @rule(step=st.integers(-20, 50))
    def reset(self, step: int) -> None:
        self.last = max(0, self.last + step)
        self.term += 1
        self.base, self.compacted, self.model = (self.last, self.term), self.last, {}
        self.do(self.store.log.reset(self.last, self.term))

    @precondition(lambda self: self.subject.durable)
    @rule()
    def restart(self) -> None:
        self.reopen()

    @invariant()
    def agrees(self) -> None:
        log = self.store.log
        assert log.last_index == self.last
        assert log.hard_state == self.hard_state
        assert self.base[0] < log.first_index <= self.compacted + 1
        found = list(log.entries(log.first_index, self.last, ALL))
        assert found == [self.model[index] for index in range(log.first_index, self.last + 1)]
        assert [log.term(entry.index) for entry in found] == [entry.term for entry in found]
        boundary = log.first_index - 1
        assert log.term(boundary) == (self.base[1] if boundary == self.base[0] else self.model[boundary].term)
        assert log.term(boundary - 1) is None
        assert log.term(self.last + 1) is None


def _run(machine: type[StoreMachine], subject: StoreSubject) -> None:
    kind = type(machine.__name__, (machine,), {"subject": subject})
    run_state_machine_as_test(kind, settings=SETTINGS)


@SUBJECTS
def test_state_follows_the_model(subject: StoreSubject) -> None:
    """Clauses K, B and V."""
    _run(StateMachine, subject)


@SUBJECTS
def test_log_follows_the_model(subject: StoreSubject) -> None:
    """Clauses L and D3."""
    _run(LogMachine, subject)
