"""Courses of events that random runs meet too rarely; and random runs, for bugs that they show."""

from __future__ import annotations

from collections.abc import Callable

from consul_kernel.testing.simulation import ViolationError
from consul_kernel_raft.simulation.course import Course
from consul_kernel_raft.simulation.options import RaftOptions

from . import raft_scenarios_elections, raft_scenarios_lease, raft_scenarios_log, raft_scenarios_servers

Scenario = Callable[[int], None]

SCENARIO_SEEDS = range(6)


def any_course(seed: int) -> None:
    """One run of the command, with every kind of fault. Raises ViolationError."""
    report = Course(RaftOptions(seed=seed), lambda share, text: None).run()
    for violation in report.violations:
        raise ViolationError(violation)


RUNS: tuple[Scenario, ...] = (
    *raft_scenarios_elections.SCENARIOS,
    *raft_scenarios_lease.SCENARIOS,
    *raft_scenarios_log.SCENARIOS,
    *raft_scenarios_servers.SCENARIOS,
    any_course,
)
