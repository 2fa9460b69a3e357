"""A load whose every step is known beforehand: a process does it, is killed, and another says what must be there.

`python -m consul_kernel.testing.store_load MODULE SETTINGS FOLDER FIRST_STEP` opens a store and does one step after
the other. It writes each step's number to standard output once the step is acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from consul_kernel.contracts.store import HardState, LogEntry, Store

from .store_subject import StoreSubject, entries

ALL = 1 << 40
KEPT_ENTRIES = 200
SNAPSHOT_STEPS = 20
COMPACT_STEPS = 15


@dataclass(frozen=True, slots=True)
class Step:
    """What a step does to a log that ends at `last_index` (all that a step needs to know of the past)."""

    number: int
    run: list[LogEntry]
    hard_state: HardState
    snapshot: bytes | None
    compact: int | None


def plan(number: int, last_index: int, first_index: int) -> Step:
    """The step of this number. `first_index` bounds what it may replace."""
    rng = random.Random(number)
    back = min(rng.choice((0, 0, 0, 1, 7)), last_index + 1 - first_index)
    first = last_index + 1 - back
    last = first + rng.randrange(1, 12)
    return Step(
        number,
        entries(first, last, number, rng.randbytes(rng.choice((10, 200, 3000)))),
        HardState(number, f"server-{number}"),
        rng.randbytes(5000) if number % SNAPSHOT_STEPS == 0 else None,
        max(0, first - KEPT_ENTRIES) if number % COMPACT_STEPS == 0 else None,
    )


async def perform(store: Store, step: Step) -> None:
    """Do a step: it is acknowledged as a whole once this returns."""
    await store.log.append(step.run, step.hard_state)
    with store.state.write() as batch:
        for key in (b"first", b"second", b"long" * 300):
            batch.put("load", key, b"%d" % step.number)
        batch.put("load", b"%d" % step.number, b"x" * 300)
    if step.snapshot is not None:
        sink = await store.snapshots.create(
            index=step.run[-1].index, term=step.number, configuration=b"c", configuration_index=0
        )
        await sink.write(step.snapshot)
        await sink.commit()
    if step.compact is not None:
        await store.log.compact(step.compact)


async def main(module: str, settings: str, folder: str, first_step: str) -> None:
    """Do steps until killed."""
    store = StoreSubject(module, json.loads(settings)).make(Path(folder))
    await store.start()
    number = int(first_step)
    while True:
        await perform(store, plan(number, store.log.last_index, store.log.first_index))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
