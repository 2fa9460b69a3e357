"""What `consul-kernel simulate raft` can be told."""

from __future__ import annotations

import random
from typing import Annotated, Final, Literal

import msgspec

from consul_kernel.contracts.simulation import SimulationOptions

from .mixes import MIXES, Mix

Count = Annotated[int, msgspec.Meta(ge=0)]

FAULTS: Final = tuple(dict.fromkeys((*MIXES["everything"].faults, "crash-all")))
"""Every kind of fault, as `-faults` names them."""
SERVERS: Final = range(1, 10)


class RaftOptions(SimulationOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Times are virtual."""

    servers: str = "3..7"
    """How many servers there are: a number, or a range from which each seed draws one."""
    seconds: Count = 3
    """How long faults strike before everything must come right."""
    mix: Literal["any", "everything", "leaders", "changes", "crashes"] = "any"
    """Which faults come together: all of them, such as make leaders hard to reach, changes of the servers, or crashes
    in the middle of something; `any` takes another one for each seed.
    """
    faults: str = "mix"
    """What goes wrong: what the mix says, `none`, or some of partition, isolate, one-way, asymmetric, loss, lag, late,
    repeat, leader-deaf, leader-mute, leader-link, crash, crash-inside, pause, slow-disk, hung-disk, full-disk, clock,
    snapshot, transfer, change, crash-all, with commas between them.
    """
    fault_interval_ms: Count = 0
    """The mean time between two faults; 0 leaves it to the seed."""
    client_interval_ms: Count = 0
    """The mean time between two requests of clients; 0 leaves it to the seed."""
    transcript: str = ""
    """A file for the transcript in text."""

    def mix_of_faults(self) -> Mix:
        """The mix of this seed."""
        names = tuple(MIXES)
        return MIXES[names[self.seed % len(names)] if self.mix == "any" else self.mix]

    def kinds(self) -> tuple[str, ...]:
        """The faults that are wanted. Raises ValueError for an unknown one."""
        if self.faults in ("mix", "none"):
            return tuple(self.mix_of_faults().faults) if self.faults == "mix" else ()
        kinds = tuple(kind.strip() for kind in self.faults.split(","))
        for kind in kinds:
            if kind not in FAULTS:
                raise ValueError(f"no fault is called {kind!r}; there are {', '.join(FAULTS)}")
        return kinds

    def draw_servers(self, rng: random.Random) -> int:
        """How many servers there are. Raises ValueError for a range that is none."""
        low, _, high = self.servers.partition("..")
        if not low.isdecimal() or (high and not high.isdecimal()):
            raise ValueError(f"-servers {self.servers!r} is neither a number nor a range such as 3..7")
        numbers = range(int(low), int(high or low) + 1)
        if not numbers or numbers[0] not in SERVERS or numbers[-1] not in SERVERS:
            raise ValueError(f"-servers {self.servers} is not within {SERVERS[0]}..{SERVERS[-1]}")
        return rng.choice(numbers)
