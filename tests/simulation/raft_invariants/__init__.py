"""What must hold after every step of every server; one file for each property."""

from __future__ import annotations

from .base import Invariant, InvariantError
from .durability import Durability
from .election_safety import ElectionSafety
from .latest_configuration import LatestConfiguration
from .leader_append_only import LeaderAppendOnly
from .leader_completeness import LeaderCompleteness
from .linearizability import Linearizability
from .log_matching import LogMatching
from .state_machine_safety import StateMachineSafety

__all__ = ["Invariant", "InvariantError", "all_invariants"]


def all_invariants() -> list[Invariant]:
    """A fresh set, for one world."""
    return [
        ElectionSafety(),
        LeaderAppendOnly(),
        LogMatching(),
        LeaderCompleteness(),
        StateMachineSafety(),
        Linearizability(),
        Durability(),
        LatestConfiguration(),
    ]
