"""What can be broken: each fault strikes, lasts for a while, and is repaired."""

from __future__ import annotations

from .base import Fault
from .disks import FullDisk
from .links import OneWay, Partition
from .operations import Leave, Transfer
from .processes import Kill, KillAll, Pause

FAULTS: dict[str, type[Fault]] = {
    "kill": Kill,
    "killall": KillAll,
    "pause": Pause,
    "partition": Partition,
    "oneway": OneWay,
    "disk": FullDisk,
    "transfer": Transfer,
    "leave": Leave,
}

__all__ = ["FAULTS", "Fault"]
