"""`consul-kernel simulate gossip`: what the kernel is given by the descriptor's `simulation`."""

from __future__ import annotations

from typing import Any

from consul_kernel.contracts.simulation import Progress, SimulationOptions, SimulationReport
from consul_kernel_swim.simulation.course import Course
from consul_kernel_swim.simulation.options import GossipOptions


class GossipSimulation:
    """Fulfils `contracts.simulation.Simulation`."""

    @property
    def name(self) -> str:
        return "gossip"

    @property
    def options_type(self) -> type[SimulationOptions]:
        return GossipOptions

    def run(self, options: Any, progress: Progress) -> SimulationReport:
        return Course(options, progress).run()
