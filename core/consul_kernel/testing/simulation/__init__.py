"""Simulated surroundings for a protocol core: virtual time, a faulty network, disks that forget, processes that die.

A world is made of these by whoever tests a protocol; they know nothing of it. Everything is drawn from one seed, so
that the same seed gives the same transcript, under any PYTHONHASHSEED.
"""

from __future__ import annotations

from .disk import Change, Disk, DiskSpeed
from .faults import Fault, Nemesis, Strike, Undo, draw_plan
from .history import History, Operation
from .invariant import Invariant, ViolationError
from .network import Conditions, Cut, Lag, Network
from .network_faults import NetworkFaults
from .process import Clock, Process
from .timeline import Timeline
from .transcript import Transcript

__all__ = [
    "Change",
    "Clock",
    "Conditions",
    "Cut",
    "Disk",
    "DiskSpeed",
    "Fault",
    "History",
    "Invariant",
    "Lag",
    "Nemesis",
    "Network",
    "NetworkFaults",
    "Operation",
    "Process",
    "Strike",
    "Timeline",
    "Transcript",
    "Undo",
    "ViolationError",
    "draw_plan",
]
