"""Writes that a log takes without a task, and how they give way to the task that does all else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from consul_kernel.contracts.consensus import ConsensusContext
from consul_kernel.contracts.errors import StoreError, StoreFullError
from consul_kernel.contracts.metrics import NO_METRICS
from consul_kernel.contracts.store import HardState, LogEntry, PromptLogStore
from consul_kernel.testing.consensus_parts import FlushedLog
from consul_kernel.testing.virtual_time import run_virtual
from consul_kernel_raft.core import OutOfRoom, RoomAgain, Write
from consul_kernel_raft.core.room import LOG
from consul_kernel_raft.meters import Meters
from consul_kernel_raft.writer import Writer


class PromptLog(FlushedLog):
    """Notes what is begun; `end` says what became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.end: Callable[[StoreError | None], None] | None = None

    def append_then(
        self, entries: Sequence[LogEntry], hard_state: HardState | None, done: Callable[[StoreError | None], None]
    ) -> None:
        """As the contract says, but for when."""
        self.calls.append(f"append_then {entries[0].index}")

        def end(error: StoreError | None) -> None:
            self.end = None
            if error is None:
                self.stored.extend(entries)
            done(error)

        self.end = end

    async def append(self, entries: Sequence[LogEntry], hard_state: HardState | None = None) -> None:
        self.calls.append(f"append {entries[0].index}")
        await super().append(entries, hard_state)

    async def compact(self, index: int) -> None:
        self.calls.append(f"compact {index}")
        await super().compact(index)


class Bench:
    """A writer on its log; what it tells its driver."""

    def __init__(self) -> None:
        self.log = PromptLog()
        assert isinstance(self.log, PromptLogStore)
        self.done: list[int] = []
        self.posted: list[Any] = []
        self.failures: list[BaseException] = []
        context = cast("ConsensusContext", SimpleNamespace(log=self.log, snapshots=None, state_machine=None))
        self.stored: list[tuple[int, bool]] = []
        meters = cast("Meters", SimpleNamespace(stored=self._stored, metrics=NO_METRICS))
        self.writer = Writer(context, self.done.append, self.posted.append, self.failures.append, meters, lambda: True)

    def _stored(self, count: int, taken_s: float, *, leads: bool) -> None:
        assert taken_s >= 0
        self.stored.append((count, leads))

    def begin(self, number: int) -> None:
        """A write of one entry."""
        self.writer.begin(Write(number=number, entries=[LogEntry(number, 1, 0, b"x")]))


def run(scenario: Callable[[Bench], Any]) -> Bench:
    """A started writer, and the scenario."""

    async def body() -> Bench:
        bench = Bench()
        bench.writer.start()
        await asyncio.sleep(0.1)
        await scenario(bench)
        await bench.writer.aclose()
        return bench

    return run_virtual(body(), limit_s=60)


def test_an_append_needs_no_task() -> None:
    async def scenario(bench: Bench) -> None:
        for number in (1, 2):
            bench.begin(number)
            assert bench.log.calls[-1] == f"append_then {number}"
            assert bench.log.end is not None
            bench.log.end(None)
            assert bench.done[-1] == number

    bench = run(scenario)
    assert (bench.done, bench.stored) == ([1, 2], [(1, True), (1, True)])


def test_where_there_is_no_room_the_task_insists() -> None:
    async def scenario(bench: Bench) -> None:
        bench.begin(1)
        bench.log.full = True
        assert bench.log.end is not None
        bench.log.end(StoreFullError("full"))
        await asyncio.sleep(1)
        assert (bench.done, bench.posted) == ([], [OutOfRoom(LOG)])
        bench.log.full = False
        await asyncio.sleep(1)
        assert (bench.done, bench.posted) == ([1], [OutOfRoom(LOG), RoomAgain(LOG)])
        bench.begin(2)
        assert bench.log.calls[-1] == "append_then 2"

    bench = run(scenario)
    assert (bench.failures, bench.stored) == ([], [(1, True)])


def test_compaction_waits_for_the_append_and_the_next_append_for_compaction() -> None:
    async def scenario(bench: Bench) -> None:
        bench.begin(1)
        bench.writer.compact(1)
        await asyncio.sleep(0.1)
        assert bench.log.calls == ["append_then 1"]
        assert bench.log.end is not None
        bench.log.end(None)
        bench.begin(2)
        await asyncio.sleep(0.1)
        assert bench.log.calls == ["append_then 1", "append 2", "compact 1"]
        assert bench.done == [1, 2]

    run(scenario)


def test_any_other_failure_is_final() -> None:
    async def scenario(bench: Bench) -> None:
        bench.begin(1)
        assert bench.log.end is not None
        bench.log.end(StoreError("input/output error"))

    bench = run(scenario)
    assert (bench.done, [str(failure) for failure in bench.failures]) == ([], ["input/output error"])


def test_after_the_end_nothing_is_told() -> None:
    async def scenario(bench: Bench) -> None:
        bench.begin(1)

    bench = run(scenario)
    assert bench.log.end is not None
    bench.log.end(None)
    assert bench.done == []
