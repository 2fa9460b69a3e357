"""What must hold in a quorum of Raft servers, one property a file."""

from __future__ import annotations

from .agreement import Agreement
from .base import RaftInvariant
from .bounded_state import BoundedState
from .current_reads import CurrentReads
from .durability import Durability
from .election_safety import ElectionSafety
from .latest_configuration import LatestConfiguration
from .leader_append_only import LeaderAppendOnly
from .leader_completeness import LeaderCompleteness
from .lease import Lease
from .linearizability import Linearizability
from .log_matching import LogMatching
from .one_change import OneChange
from .persistent_state import PersistentState
from .stability import Stability
from .state_machine_safety import StateMachineSafety

__all__ = [
    "Agreement",
    "BoundedState",
    "CurrentReads",
    "Durability",
    "ElectionSafety",
    "LatestConfiguration",
    "LeaderAppendOnly",
    "LeaderCompleteness",
    "Lease",
    "Linearizability",
    "LogMatching",
    "OneChange",
    "PersistentState",
    "RaftInvariant",
    "Stability",
    "StateMachineSafety",
    "all_invariants",
]


def all_invariants() -> list[RaftInvariant]:
    """A fresh set, for one world."""
    return [
        ElectionSafety(),
        LeaderAppendOnly(),
        LogMatching(),
        LeaderCompleteness(),
        StateMachineSafety(),
        PersistentState(),
        Durability(),
        LatestConfiguration(),
        OneChange(),
        Lease(),
        CurrentReads(),
        Linearizability(),
        Agreement(),
        Stability(),
        BoundedState(),
    ]
