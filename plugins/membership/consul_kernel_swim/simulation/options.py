"""What `consul-kernel simulate gossip` can be told."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Annotated, Final, Literal

import msgspec

from consul_kernel.contracts.simulation import SimulationOptions
from consul_kernel.testing.simulation import Conditions
from consul_kernel_swim.core.settings import PROFILES, Settings

Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]

FAULTS: Final = (
    "partition",
    "isolate",
    "one-way",
    "asymmetric",
    "loss",
    "late",
    "repeat",
    "crash",
    "mass-restart",
    "pause",
    "slow",
    "leave",
    "join",
    "reuse",
    "garbage",
)
"""Every kind of fault, as `-faults` names them."""
_ALL_INVARIANTS_MEMBERS: Final = 1_000
_SHARES: Final = (0.0, 0.0, 0.0, 0.2, 0.5, 0.8)
_EXCHANGES: Final = 0x5EED
"""So that what is drawn with it has nothing to do with what else is drawn from the seed."""


class GossipOptions(SimulationOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Times are virtual."""

    nodes: Annotated[int, msgspec.Meta(ge=3)] = 100
    """Members of the pool at the start."""
    nodes_max: Count = 0
    """With this, each seed draws how many members there are: from -nodes to this, in equal ratios."""
    seconds: Count = 20
    """How long faults strike, or the pool is at rest where there are none, before everything must come right."""
    faults: str = "all"
    """What goes wrong: `all`, `none`, or some of partition, isolate, one-way, asymmetric, loss, late, repeat, crash,
    mass-restart, pause, slow, leave, join, reuse, garbage, with commas between them.
    """
    fault_interval_ms: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    """The mean time between two faults."""
    loss: Rate = 0.0
    """The share of packets that are lost throughout."""
    duplicates: Rate = 0.0
    """The share of packets that arrive twice throughout."""
    delay_ms: Count = 5
    """Packets take from 0 to this long throughout."""
    profile: Literal["lan", "wan", "local"] = "lan"
    """The protocol's timing."""
    exchanges: Literal["drawn", "digests", "mixed", "whole"] = "drawn"
    """How members exchange states: by digests where nothing differs, whole as memberlist does, or half of them the one
    way and half the other; `drawn` is digests, and where faults strike it is another mixture for each second seed.
    """
    start: Literal["settled", "joins"] = "settled"
    """Whether the pool has been at rest for long, or its members join it one after the other."""
    invariants: Literal["auto", "all", "cheap", "none"] = "auto"
    """What is watched: `auto` leaves the costly ones out in pools of more than 1,000 members."""
    transcript: str = ""
    """A file for the transcript in text."""

    def kinds(self) -> tuple[str, ...]:
        """The faults that are wanted. Raises ValueError for an unknown one."""
        if self.faults in ("all", "none"):
            return FAULTS if self.faults == "all" else ()
        kinds = tuple(kind.strip() for kind in self.faults.split(","))
        for kind in kinds:
            if kind not in FAULTS:
                raise ValueError(f"no fault is called {kind!r}; there are {', '.join(FAULTS)}")
        return kinds

    def size(self) -> int:
        """How many members there are, for this seed. Raises ValueError for a range that is none."""
        if not self.nodes_max:
            return self.nodes
        if self.nodes_max < self.nodes:
            raise ValueError(f"-nodes-max {self.nodes_max} is less than -nodes {self.nodes}")
        share = random.Random(self.seed).random()
        return round(self.nodes * math.pow(self.nodes_max / self.nodes, share))

    def memberlist_share(self) -> float:
        """How many members exchange whole states only, for this seed."""
        if self.exchanges != "drawn":
            return {"digests": 0.0, "mixed": 0.5, "whole": 1.0}[self.exchanges]
        return random.Random(self.seed ^ _EXCHANGES).choice(_SHARES) if self.kinds() else 0.0

    def watch_all(self) -> bool:
        """Whether the costly invariants are wanted."""
        return self.invariants == "all" or (self.invariants == "auto" and self.size() <= _ALL_INVARIANTS_MEMBERS)

    def conditions(self) -> Conditions:
        """The network's when nothing particular happens."""
        return Conditions(loss_rate=self.loss, duplicate_rate=self.duplicates, delay_ms=(0, self.delay_ms))

    def settings(self) -> Settings:
        """The protocol's. Where faults strike, what is rare (exchanges, calls on failed members, the reclaiming of
        names) comes sooner, so that a short run meets it.
        """
        settings = replace(PROFILES[self.profile], coordinates=self.size() <= _ALL_INVARIANTS_MEMBERS)
        if not self.kinds():
            return settings
        return replace(
            settings,
            push_pull_interval_ms=settings.push_pull_interval_ms // 6,
            reap_interval_ms=settings.reap_interval_ms // 3,
            broadcast_timeout_ms=settings.broadcast_timeout_ms // 2,
            reconnect_interval_ms=settings.reconnect_interval_ms // 5,
            gossip_to_the_dead_ms=settings.gossip_to_the_dead_ms // 3,
            dead_node_reclaim_ms=settings.dead_node_reclaim_ms // 6,
            leave_propagate_delay_ms=settings.leave_propagate_delay_ms // 3,
            tcp_timeout_ms=settings.tcp_timeout_ms // 5,
        )
