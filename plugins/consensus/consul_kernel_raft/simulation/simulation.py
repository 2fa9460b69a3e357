"""`consul-kernel simulate raft`: what the kernel is given by the descriptor's `simulation`."""

from __future__ import annotations

from typing import Any

from consul_kernel.contracts.simulation import Progress, SimulationOptions, SimulationReport
from consul_kernel_raft.simulation.course import Course
from consul_kernel_raft.simulation.options import RaftOptions


class RaftSimulation:
    """Fulfils `contracts.simulation.Simulation`."""

    @property
    def name(self) -> str:
        return "raft"

    @property
    def options_type(self) -> type[SimulationOptions]:
        return RaftOptions

    def run(self, options: Any, progress: Progress) -> SimulationReport:
        return Course(options, progress).run()
