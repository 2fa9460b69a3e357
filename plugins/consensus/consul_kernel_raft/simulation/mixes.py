"""Mixes: which faults come together, how often, and in what quorum. Each shows bugs that others cover up."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from consul_kernel.testing.simulation import Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Ranges from which a seed draws; a fault that is named twice comes twice as often. Times are means."""

    faults: Sequence[str]
    fault_ms: Sequence[int]
    length_ms: int
    """How long a fault lasts at most, and no longer than some times the time between two."""
    client_ms: Sequence[int]
    loss_rates: Sequence[float]
    late_rates: Sequence[float] = (0.0, 0.01, 0.05)
    delays_ms: Sequence[int]
    append_entries_max: Sequence[int]
    founders: Callable[[random.Random, int], int]
    """How many of the servers are there from the beginning; the others wait to be added."""

    def conditions(self, rng: random.Random) -> Conditions:
        """What every link does throughout the run."""
        return Conditions(
            loss_rate=rng.choice(self.loss_rates),
            duplicate_rate=rng.choice((0.0, 0.05)),
            delay_ms=(1, rng.choice(self.delays_ms)),
            late_rate=rng.choice(self.late_rates),
            late_ms=(20, 500),
        )


MIXES: Final = {
    "everything": Mix(
        faults=(
            "partition",
            "isolate",
            "one-way",
            "asymmetric",
            "loss",
            "lag",
            "late",
            "repeat",
            "leader-deaf",
            "leader-mute",
            "leader-link",
            "crash",
            "crash",
            "crash-inside",
            "crash-inside",
            "pause",
            "slow-disk",
            "hung-disk",
            "full-disk",
            "clock",
            "snapshot",
            "snapshot",
            "transfer",
            "change",
            "change",
        ),
        fault_ms=(30, 80, 200),
        length_ms=500,
        client_ms=(3, 8, 20),
        loss_rates=(0.0, 0.01, 0.05),
        delays_ms=(3, 12),
        append_entries_max=(1, 4, 20),
        founders=lambda rng, servers: rng.randint(1, servers),
    ),
    # Leaders that are hard to reach, and handed over: stale reads show here.
    "leaders": Mix(
        faults=(
            "leader-deaf",
            "leader-deaf",
            "leader-mute",
            "leader-mute",
            "leader-link",
            "leader-link",
            "isolate",
            "lag",
            "transfer",
            "pause",
            "hung-disk",
            "full-disk",
            "clock",
        ),
        fault_ms=(60, 120, 200),
        length_ms=700,
        client_ms=(4,),
        loss_rates=(0.05, 0.2),
        delays_ms=(5, 25),
        append_entries_max=(20,),
        founders=lambda rng, servers: servers,
    ),
    # Servers that come and go while others fall behind: changes meet elections and snapshots here.
    "changes": Mix(
        faults=(
            "change",
            "change",
            "change",
            "change",
            "snapshot",
            "snapshot",
            "transfer",
            "crash",
            "crash-inside",
            "isolate",
            "leader-mute",
            "leader-link",
            "pause",
        ),
        fault_ms=(30, 60),
        length_ms=400,
        client_ms=(4, 10),
        loss_rates=(0.0, 0.05),
        delays_ms=(3, 12),
        append_entries_max=(1, 4),
        founders=lambda rng, servers: rng.randint(1, 3),
    ),
    # Leaders that fall in the middle of something: figure 8 shows here.
    "crashes": Mix(
        faults=("crash", "crash-inside", "crash-inside", "crash-all", "partition", "partition", "snapshot"),
        fault_ms=(120, 250),
        length_ms=700,
        client_ms=(3, 6),
        loss_rates=(0.05, 0.3),
        delays_ms=(3, 12, 40),
        append_entries_max=(1, 2),
        founders=lambda rng, servers: rng.choice((servers, servers, max(3, servers - 2))),
    ),
}
