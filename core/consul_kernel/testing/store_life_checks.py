"""Checks of a store's life: clauses D of docs/contracts/store.md."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.contracts.store import HardState, LogEntry, Store

from .clauses import require
from .store_load import ALL, Step, perform, plan
from .store_snapshot_checks import read, take
from .store_subject import Check, StoreSubject, entries, require_async_refusal, require_equal, require_refusal

KILLS = 4
PATIENCE_SECONDS = 60


async def check_d1_create_and_close(subject: StoreSubject, folder: Path) -> None:
    """D1: create touches nothing; close works at any time and twice."""
    store = subject.make(folder)
    require_equal(os.listdir(folder), [], "D1: create did I/O")  # noqa: PTH208 - async functions have no Path calls
    await store.aclose()
    store = subject.make(folder)
    await store.start()
    require(isinstance(store, Store), "D1: not a Store")
    await store.aclose()
    await store.aclose()


async def check_d2_a_closed_store_refuses(subject: StoreSubject, folder: Path) -> None:
    """D2: everything that would change it."""
    store = subject.make(folder)
    await store.start()
    await store.log.append(entries(1, 3, 1))
    await store.aclose()
    await require_async_refusal(store.log.append(entries(4, 4, 1)), "D2: append")
    await require_async_refusal(store.log.append([], HardState(1)), "D2: hard state")
    await require_async_refusal(store.log.compact(1), "D2: compact")
    await require_async_refusal(store.log.reset(9, 9), "D2: reset")
    create = store.snapshots.create(index=1, term=1, configuration=b"", configuration_index=0)
    await require_async_refusal(create, "D2: create a snapshot")
    require_refusal(lambda: store.state.write().__enter__(), "D2: write")


async def check_d3_a_new_start_finds_everything(subject: StoreSubject, folder: Path) -> None:
    """D3: after each kind of change, in one store after the other."""
    if not subject.durable:
        return
    await _reopened_after_appends(subject, folder)
    async with subject.opened(folder) as store:
        await store.log.reset(1000, 77)
    async with subject.opened(folder) as store:
        log = store.log
        require_equal((log.first_index, log.last_index, log.term(1000)), (1001, 1000, 77), "D3: a reset")
        require_equal(log.hard_state, HardState(6, "me"), "D3: hard state after a reset")
        await log.append(entries(1001, 1010, 78))
        await log.compact(1010)
    async with subject.opened(folder) as store:
        require_equal((store.log.last_index, store.log.term(1010)), (1010, 78), "D3: compacted to the end")
        await store.log.append(entries(1011, 1011, 79))


async def _reopened_after_appends(subject: StoreSubject, folder: Path) -> None:
    async with subject.opened(folder) as store:
        await store.log.append(entries(1, 300, 1, b"x" * 500))
        await store.log.append(entries(250, 260, 5), HardState(6, "me"))
        await store.log.compact(40)
        meta = await take(store.snapshots, 40, b"snapshot")
        with store.state.write() as batch:
            batch.put("kv", b"l" * 1500, b"long")
            batch.put("kv", b"a", b"1")
        first = store.log.first_index
    async with subject.opened(folder) as store:
        log = store.log
        require(first >= log.first_index, "D3: entries were lost")
        wanted = [*entries(1, 249, 1, b"x" * 500), *entries(250, 260, 5)][log.first_index - 1 :]
        require(list(log.entries(log.first_index, 260, ALL)) == wanted, "D3: entries")
        require_equal((log.last_index, log.hard_state), (260, HardState(6, "me")), "D3: bounds")
        require_equal(list(store.snapshots.list()), [meta], "D3: snapshots")
        require_equal(await read(await store.snapshots.open(meta.id)), b"snapshot", "D3: a snapshot's bytes")
        require_equal(list(store.state.range("kv")), [(b"a", b"1"), (b"l" * 1500, b"long")], "D3: state")


async def check_d6_one_store_for_a_path(subject: StoreSubject, folder: Path) -> None:
    """D6: the second start is refused, and the first goes on; the path is free once it is closed."""
    if not subject.durable:
        return
    async with subject.opened(folder) as store:
        second = subject.make(folder)
        try:
            await second.start()
        except PluginStartError:
            pass
        else:
            require(False, "D6: two stores on one path")
        await second.aclose()
        await store.log.append(entries(1, 1, 1))
    async with subject.opened(folder) as store:
        require_equal(store.log.last_index, 1, "D6: the first store")


@dataclass(slots=True)
class Memory:
    """What a durable store was asked to remember, and acknowledged."""

    log: dict[int, LogEntry] = field(default_factory=dict)
    last_index: int = 0
    hard_state: HardState = HardState()
    compacted: int = 0
    snapshot: bytes | None = None

    def acknowledge(self, step: Step) -> None:
        """Take a whole step over."""
        for index in range(step.run[0].index, self.last_index + 1):
            del self.log[index]
        self.log.update({entry.index: entry for entry in step.run})
        self.last_index = step.run[-1].index
        self.hard_state = step.hard_state
        self.compacted = max(self.compacted, step.compact or 0)
        self.snapshot = step.snapshot or self.snapshot

    async def compare(self, store: Store, pending: Step) -> None:
        """Check a recovered store; of the step that was under way any part may be there. D4 and D5."""
        log = store.log
        require_equal(log.hard_state in (self.hard_state, pending.hard_state), True, f"D4: {log.hard_state}")
        compacted = max(self.compacted, pending.compact or 0)
        require(log.first_index <= compacted + 1, f"D4: entries from {compacted + 1} to {log.first_index} are lost")
        found = list(log.entries(log.first_index, log.last_index, ALL))
        before = [self.log[index] for index in range(log.first_index, self.last_index + 1)]
        if found != before:
            kept = before[: pending.run[0].index - log.first_index]
            wanted = [*kept, *pending.run][: len(found)]
            require(len(found) > len(kept), f"D4: acknowledged entries after {log.last_index} are lost")
            require(found == wanted, "D4: entries that nobody appended")
        await self._compare_snapshots(store, pending)
        values = {store.state.get("load", key) for key in (b"first", b"second", b"long" * 300)}
        require(len(values) == 1, f"D5: half a batch: {values}")
        newest = values.pop()
        require(newest is None or int(newest) <= pending.number, "D5: a batch that nobody wrote")

    async def _compare_snapshots(self, store: Store, pending: Step) -> None:
        found = store.snapshots.list()
        if not found:
            require(self.snapshot is None, "D4: an acknowledged snapshot is lost")
            return
        data = await read(await store.snapshots.open(found[0].id))
        require(data in (self.snapshot, pending.snapshot), "D4: the newest snapshot is not the one acknowledged")

    def take_over(self, store: Store, pending: Step) -> None:
        """Go on from what was recovered."""
        log = store.log
        self.log = {entry.index: entry for entry in log.entries(log.first_index, log.last_index, ALL)}
        self.last_index, self.hard_state, self.compacted = log.last_index, log.hard_state, log.first_index - 1
        self.snapshot = pending.snapshot if pending.snapshot and len(store.snapshots.list()) else self.snapshot


async def check_d4_killed_under_load(subject: StoreSubject, folder: Path) -> None:
    """D4, D5: a process that works with the store is killed, several times in a row on the same files."""
    if not subject.durable:
        return
    memory = Memory()
    rng = random.Random(1)
    number = 1
    for _ in range(KILLS):
        first, first_index = number, memory.compacted + 1
        acknowledged = await _load_until_killed(subject, folder, first, rng.randrange(3, 60))
        async with subject.opened(folder) as store:
            for number in range(first, acknowledged + 1):
                memory.acknowledge(plan(number, memory.last_index, first_index))
            pending = plan(acknowledged + 1, memory.last_index, first_index)
            await memory.compare(store, pending)
            memory = Memory(snapshot=memory.snapshot)
            if store.snapshots.list():
                memory.snapshot = await read(await store.snapshots.open(store.snapshots.list()[0].id))
            memory.take_over(store, Step(0, [], HardState(), None, None))
        number = acknowledged + 2


async def _load_until_killed(subject: StoreSubject, folder: Path, first_step: int, steps: int) -> int:
    """Run the load in a process, kill it after so many steps; the last step that was acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "consul_kernel.testing.store_load",
        subject.module,
        json.dumps(dict(subject.settings)),
        str(folder),
        str(first_step),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)},
    )
    if process.stdout is None:
        raise RuntimeError("the process has no standard output")
    acknowledged = first_step - 1
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(steps):
                line = await process.stdout.readline()
                require(bool(line), "D4: the process that works with the store ended by itself")
                acknowledged = int(line)
    finally:
        if process.returncode is None:
            process.kill()
        rest = await process.stdout.read()
        await process.wait()
    # What it had acknowledged by the time it was killed; a line may be cut short.
    complete = rest[: rest.rfind(b"\n") + 1].split()
    return int(complete[-1]) if complete else acknowledged


async def check_d4_a_copy_at_every_step(subject: StoreSubject, folder: Path) -> None:
    """D4, D5: the folder is copied after each step, as a crash would leave it, and the copy recovers."""
    if not subject.durable:
        return
    memory = Memory()
    async with subject.opened(folder / "original") as store:
        for number in range(1, 25):
            step = plan(number, store.log.last_index, 1)
            await perform(store, step)
            memory.acknowledge(step)
            copy = folder / f"copy-{number}"
            shutil.copytree(folder / "original", copy)
            async with subject.opened(copy) as recovered:
                await memory.compare(recovered, Step(number + 1, step.run, step.hard_state, None, None))
            shutil.rmtree(copy)


LIFE_CHECKS: tuple[Check, ...] = (
    check_d1_create_and_close,
    check_d2_a_closed_store_refuses,
    check_d3_a_new_start_finds_everything,
    check_d4_killed_under_load,
    check_d4_a_copy_at_every_step,
    check_d6_one_store_for_a_path,
)
