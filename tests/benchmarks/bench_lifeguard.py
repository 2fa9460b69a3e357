"""False alarms about healthy members that slow ones cause, without Lifeguard and with it.

    python tests/benchmarks/bench_lifeguard.py [--members 128] [--seconds 120] [--seed 1] [--jobs 2]

The experiment of the Lifeguard paper, section V, in virtual time (`consul_kernel_swim/simulation/lifeguard.py`): for
each number of slow members and each length of their standstills, one run for each of three kinds of agents. Prints a
table; the published rate is a fiftieth of what SWIM alone has. It takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.simulation.lifeguard import (
    LIFEGUARD,
    MEMBERS,
    REDUCTION_PUBLISHED,
    SWIM_ALONE,
    Alarms,
    count_false_alarms,
)

SLOW = (4, 8, 16, 32)
BLOCKS_MS = (2_000, 8_000, 32_000)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the agents of a pool know."""

    name: str
    settings: Settings
    is_patient: bool


KINDS = (
    Kind("SWIM alone", SWIM_ALONE, is_patient=False),
    Kind("Lifeguard", LIFEGUARD, is_patient=False),
    Kind("Lifeguard and patience", LIFEGUARD, is_patient=True),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the experiment."""

    kind: Kind
    slow: int
    block_ms: int
    seed: int
    members: int
    seconds: int

    def __call__(self) -> Alarms:
        return count_false_alarms(
            self.seed,
            settings=self.kind.settings,
            is_patient=self.kind.is_patient,
            members=self.members,
            slow=self.slow,
            block_ms=self.block_ms,
            seconds=self.seconds,
        )


def perform(run: Run) -> Alarms:
    return run()


def table(runs: list[Run], alarms: list[Alarms]) -> Iterator[str]:
    """Markdown: for each kind the alarms raised by all members, and by healthy ones among them."""
    yield f"| slow members | standstill | {' | '.join(kind.name for kind in KINDS)} |"
    yield "|" + "---|" * (2 + len(KINDS))
    found = dict(zip(runs, alarms, strict=True))
    for slow, block_ms in dict.fromkeys((run.slow, run.block_ms) for run in runs):
        row = [found[run] for run in runs if (run.slow, run.block_ms) == (slow, block_ms)]
        cells = " | ".join(f"{one.of_all:,} ({one.of_healthy:,})" for one in row)
        yield f"| {slow} | {block_ms // 1000} s | {cells} |"
    totals = [sum(one.of_all for run, one in found.items() if run.kind == kind) for kind in KINDS]
    yield f"| all | | {' | '.join(f'{total:,}' for total in totals)} |"
    yield f"| published | | | at most {totals[0] / REDUCTION_PUBLISHED:,.0f} | |"


def main() -> None:
    """Make every run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    runs = [
        Run(kind, slow, block_ms, arguments.seed, arguments.members, arguments.seconds)
        for slow in SLOW
        for block_ms in BLOCKS_MS
        for kind in KINDS
    ]
    began_s = time.monotonic()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        alarms = list(pool.map(perform, runs))
    print("\n".join(table(runs, alarms)))
    print(f"\n{len(runs)} runs in {time.monotonic() - began_s:,.0f} s")


if __name__ == "__main__":
    main()
