"""The Raft algorithm as one synchronous, deterministic class; nothing below this package does I/O.

Paper: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (extended version);
thesis: Ongaro, "Consensus: Bridging Theory and Practice".
"""

from .events import (
    Bootstrap,
    ChangeConfiguration,
    Committed,
    Event,
    OutOfRoom,
    Propose,
    ReadIndex,
    RoomAgain,
    SnapshotFailed,
    SnapshotSaved,
    Timer,
    TransferLeadership,
    Unreachable,
    WriteDone,
)
from .raft import Raft
from .ready import ReadState, Ready, Write
from .settings import Limits, Timing

__all__ = [
    "Bootstrap",
    "ChangeConfiguration",
    "Committed",
    "Event",
    "Limits",
    "OutOfRoom",
    "Propose",
    "Raft",
    "ReadIndex",
    "ReadState",
    "Ready",
    "RoomAgain",
    "SnapshotFailed",
    "SnapshotSaved",
    "Timer",
    "Timing",
    "TransferLeadership",
    "Unreachable",
    "Write",
    "WriteDone",
]
