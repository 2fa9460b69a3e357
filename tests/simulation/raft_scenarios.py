"""Courses of events that random runs meet too rarely."""

from __future__ import annotations

from collections.abc import Callable

from . import raft_scenarios_lease, raft_scenarios_log, raft_scenarios_servers

SCENARIOS: tuple[Callable[[int], None], ...] = (
    *raft_scenarios_lease.SCENARIOS,
    *raft_scenarios_log.SCENARIOS,
    *raft_scenarios_servers.SCENARIOS,
)
