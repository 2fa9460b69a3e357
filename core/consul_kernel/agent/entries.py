"""What the agent keeps of each service and check that is registered with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from consul_kernel.structs.check import CheckDefinition, HealthCheck
from consul_kernel.structs.service import NodeService


class Origin(Enum):
    """Where a registration comes from."""

    FILE = "the agent file"
    OUTSIDE = "a client; it is kept"
    KEPT = "an earlier life, in which it was kept"


@dataclass(slots=True)
class ServiceEntry:
    """A service, whether the catalog has it as it is, is to lose it, and did not take it the last time.

    `from_file`: the agent file defines it, so that it goes when the file drops it.
    """

    service: NodeService
    token: str = ""
    in_sync: bool = False
    deleted: bool = False
    refused: bool = False
    from_file: bool = False


@dataclass(slots=True)
class CheckEntry:
    """A check, likewise. `critical_since_s` is monotonic; `output_pending` marks output that may wait.

    `logged`: the log has its state; the first report is told even where it changes nothing.
    """

    check: HealthCheck
    definition: CheckDefinition
    token: str = ""
    in_sync: bool = False
    deleted: bool = False
    refused: bool = False
    critical_since_s: float | None = None
    output_pending: bool = False
    logged: bool = False
    from_file: bool = False
