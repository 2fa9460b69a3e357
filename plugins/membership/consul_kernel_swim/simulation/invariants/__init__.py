"""What must hold in the gossip, one property a file."""

from __future__ import annotations

from .accuracy import Accuracy
from .agreement import Agreement
from .base import GossipInvariant
from .bounded_state import BoundedState
from .completeness import Completeness
from .delivery import Delivery
from .departures import Departures
from .health import Health
from .incarnations import Incarnations
from .packet_budget import PacketBudget
from .probe_rounds import ProbeRounds
from .retransmit_limit import RetransmitLimit

__all__ = [
    "Accuracy",
    "Agreement",
    "BoundedState",
    "Completeness",
    "Delivery",
    "Departures",
    "GossipInvariant",
    "Health",
    "Incarnations",
    "PacketBudget",
    "ProbeRounds",
    "RetransmitLimit",
    "all_invariants",
    "cheap_invariants",
]


def cheap_invariants() -> list[GossipInvariant]:
    """A fresh set of those that cost little in any pool, for one world."""
    return [Accuracy(), Completeness(), Delivery(), Departures(), Health(), PacketBudget()]


def all_invariants() -> list[GossipInvariant]:
    """A fresh set of all that hold in any course of events; some take the square of the number of members."""
    return [*cheap_invariants(), Agreement(), BoundedState(), Incarnations(), RetransmitLimit()]
