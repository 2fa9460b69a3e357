"""Simulated surroundings for a protocol core: virtual time, a faulty network, processes that stall and die.

A world is made of these by whoever tests a protocol; they know nothing of it. Everything is drawn from one seed, so
that the same seed gives the same transcript, under any PYTHONHASHSEED.
"""

from __future__ import annotations

from .faults import Fault, Nemesis, Strike, Undo, draw_plan
from .invariant import Invariant, ViolationError
from .network import Conditions, Cut, Network
from .network_faults import NetworkFaults
from .process import Clock, Process
from .timeline import Timeline
from .transcript import Transcript

__all__ = [
    "Clock",
    "Conditions",
    "Cut",
    "Fault",
    "Invariant",
    "Nemesis",
    "Network",
    "NetworkFaults",
    "Process",
    "Strike",
    "Timeline",
    "Transcript",
    "Undo",
    "ViolationError",
    "draw_plan",
]
